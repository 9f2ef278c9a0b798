//! What a request must be like; everything that is wrong with it is told at once.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::refusal::{DOMAIN, quoted};
use crate::store::NewOrder;
use crate::v1;

const LONGEST_EMAIL: usize = 254;
const LONGEST_KEY: usize = 128;

/// The fields that are wrong, and why. Never empty once it is an error.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<FieldViolation>);

impl Violations {
    pub(crate) fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// `value`, if nothing was wrong.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// For people: `customer_email must not be empty; …`.
    pub(crate) fn message(&self) -> String {
        let each = self.0.iter().map(|wrong| format!("{} {}", wrong.field, wrong.description));
        each.collect::<Vec<_>>().join("; ")
    }
}

impl From<Violations> for Status {
    fn from(violations: Violations) -> Self {
        let message = violations.message();
        let mut details = ErrorDetails::with_bad_request(violations.0);
        details.set_error_info("INVALID_REQUEST", DOMAIN, []);
        Self::with_error_details(Code::InvalidArgument, message, details)
    }
}

impl From<Violations> for v1::Rejection {
    fn from(violations: Violations) -> Self {
        Self {
            reason: v1::rejection::Reason::Invalid.into(),
            message: violations.message(),
            violations: violations
                .0
                .into_iter()
                .map(|wrong| v1::FieldViolation {
                    field: wrong.field,
                    description: wrong.description,
                })
                .collect(),
        }
    }
}

/// An order that may be kept.
pub(crate) fn new_order(request: v1::CreateOrderRequest) -> Result<NewOrder, Violations> {
    let mut wrong = Violations::default();
    email(&mut wrong, &request.customer_email);
    total_cents(&mut wrong, request.total_cents);
    currency(&mut wrong, &request.currency);
    let key = request.idempotency_key;
    if key.len() > LONGEST_KEY {
        wrong.add("idempotency_key", format!("must be at most {LONGEST_KEY} bytes"));
    }
    wrong.or(NewOrder {
        customer_email: request.customer_email,
        total_cents: request.total_cents,
        currency: request.currency,
        idempotency_key: Some(key).filter(|key| !key.is_empty()),
    })
}

/// The id of an order; whether there is such an order is another question.
pub(crate) fn id(wrong: &mut Violations, id: &str) {
    if id.is_empty() {
        wrong.add("id", "must not be empty");
    }
}

pub(crate) fn total_cents(wrong: &mut Violations, cents: i64) {
    if cents < 0 {
        wrong.add("total_cents", "must not be negative");
    }
}

pub(crate) fn currency(wrong: &mut Violations, code: &str) {
    if code.is_empty() {
        wrong.add("currency", "must not be empty");
    } else if !CURRENCIES.split_ascii_whitespace().any(|known| known == code) {
        let text = format!("must be an ISO 4217 code in capitals, not {}", quoted(code));
        wrong.add("currency", text);
    }
}

/// Only what is surely no address is refused: the one real proof is a mail that arrives.
fn email(wrong: &mut Violations, email: &str) {
    const FIELD: &str = "customer_email";
    if email.is_empty() {
        wrong.add(FIELD, "must not be empty");
    } else if email.len() > LONGEST_EMAIL {
        wrong.add(FIELD, format!("must be at most {LONGEST_EMAIL} bytes"));
    } else if email.contains(|c: char| c.is_whitespace() || c.is_control())
        || !email.rsplit_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
    {
        wrong.add(FIELD, "must be an e-mail address");
    }
}

/// ISO 4217, the codes in use for money one can pay with.
const CURRENCIES: &str = "\
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN \
    BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS \
    GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW \
    KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD \
    NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD \
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED \
    VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";
