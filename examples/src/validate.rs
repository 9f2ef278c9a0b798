//! Validates requests, and reports all violations at once. Each version of the API has its own names of fields.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::status::{DOMAIN, quoted};

const MAX_EMAIL_BYTES: usize = 254;
const MAX_KEY_BYTES: usize = 128;

/// Invalid fields, and why they are invalid. As an error, it is not empty.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<FieldViolation>);

impl Violations {
    pub(crate) fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// `value`, if there are no violations.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// A message for people: `customer_email must not be empty; …`.
    pub(crate) fn message(&self) -> String {
        let each =
            self.0.iter().map(|violation| format!("{} {}", violation.field, violation.description));
        each.collect::<Vec<_>>().join("; ")
    }

    /// The name of each field, and its description.
    pub(crate) fn into_fields(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter().map(|violation| (violation.field, violation.description))
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

/// Checks the form of an order id, not whether the order exists.
pub(crate) fn id(violations: &mut Violations, field: &str, id: &str) {
    if id.is_empty() {
        violations.add(field, "must not be empty");
    }
}

pub(crate) fn not_negative(violations: &mut Violations, field: &str, number: i64) {
    if number < 0 {
        violations.add(field, "must not be negative");
    }
}

pub(crate) fn currency(violations: &mut Violations, field: &str, code: &str) {
    if code.is_empty() {
        violations.add(field, "must not be empty");
    } else if !CURRENCIES.split_ascii_whitespace().any(|known| known == code) {
        let text = format!("must be an ISO 4217 code in capitals, not {}", quoted(code));
        violations.add(field, text);
    }
}

/// Refuses only what is certainly not an address: the only proof is a mail that arrives.
pub(crate) fn email(violations: &mut Violations, field: &str, email: &str) {
    if email.is_empty() {
        violations.add(field, "must not be empty");
    } else if email.len() > MAX_EMAIL_BYTES {
        violations.add(field, format!("must be at most {MAX_EMAIL_BYTES} bytes"));
    } else if email.contains(|c: char| c.is_whitespace() || c.is_control())
        || !email.rsplit_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
    {
        violations.add(field, "must be an e-mail address");
    }
}

pub(crate) fn idempotency_key(violations: &mut Violations, field: &str, key: &str) {
    if key.len() > MAX_KEY_BYTES {
        violations.add(field, format!("must be at most {MAX_KEY_BYTES} bytes"));
    }
}

/// ISO 4217 codes of currencies in circulation.
const CURRENCIES: &str = "\
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN \
    BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS \
    GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW \
    KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD \
    NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD \
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED \
    VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";
