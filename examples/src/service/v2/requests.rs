//! What the requests of `orders.v2` mean. Violations name the paths of its fields.

use super::money::{self, Amount};
use crate::page::Page;
use crate::service::quote::Speed;
use crate::store::{self, Stage};
use crate::v2::{AdvanceOrderRequest, ListOrdersRequest, NewOrder, OrderStage, ShippingSpeed};
use crate::validate::{self, Violations};

/// The field of a response with the token of the next page.
const NEXT_PAGE_TOKEN: &str = "next_page_token";

/// A valid order, or what is invalid about it.
pub(super) fn new_order(
    order: Option<NewOrder>,
    idempotency_key: Option<String>,
) -> Result<store::NewOrder, Violations> {
    let mut violations = Violations::default();
    let (customer_email, total) = match order {
        Some(NewOrder { customer_email, total }) => {
            validate::email(&mut violations, "order.customer_email", &customer_email);
            (customer_email, money::read(&mut violations, "order.total", total))
        }
        None => {
            violations.add("order", "must be set");
            (String::new(), Amount::default())
        }
    };
    if let Some(key) = &idempotency_key {
        if key.is_empty() {
            violations.add("idempotency_key", "must not be empty, but may be absent");
        }
        validate::idempotency_key(&mut violations, "idempotency_key", key);
    }
    violations.or(store::NewOrder {
        customer_email,
        total_cents: total.cents,
        currency: total.currency,
        idempotency_key,
    })
}

pub(super) fn order_id(id: String) -> Result<String, Violations> {
    let mut violations = Violations::default();
    validate::id(&mut violations, "order_id", &id);
    violations.or(id)
}

/// The page, and the customer whose orders are listed; empty: all orders.
pub(super) fn page(request: ListOrdersRequest) -> Result<(Page, String), Violations> {
    let ListOrdersRequest { customer_email, page_size, page_token } = request;
    let mut violations = Violations::default();
    if let Some(email) = &customer_email {
        validate::email(&mut violations, "customer_email", email);
    }
    let email = customer_email.unwrap_or_default();
    let page = Page::new(&mut violations, page_size, &page_token, NEXT_PAGE_TOKEN, &email);
    violations.or((page, email))
}

/// The id of the order, and its new stage.
pub(super) fn advance(request: AdvanceOrderRequest) -> Result<(String, Stage), Violations> {
    let mut violations = Violations::default();
    validate::id(&mut violations, "order_id", &request.order_id);
    let stage = match request.stage() {
        OrderStage::Shipped => Stage::Shipped,
        OrderStage::Delivered => Stage::Delivered,
        OrderStage::Unspecified | OrderStage::Created => {
            violations.add("stage", "must be ORDER_STAGE_SHIPPED or ORDER_STAGE_DELIVERED");
            return Err(violations);
        }
    };
    violations.or((request.order_id, stage))
}

/// The speed of an enum's number.
pub(super) fn speed(violations: &mut Violations, number: i32) -> Speed {
    match ShippingSpeed::try_from(number) {
        Ok(ShippingSpeed::Express) => Speed::Express,
        Ok(ShippingSpeed::Standard | ShippingSpeed::Unspecified) => Speed::Standard,
        Err(_) => {
            violations.add("speed", "must be a value that this server knows");
            Speed::Standard
        }
    }
}
