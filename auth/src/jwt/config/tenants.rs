//! Multi-tenant issuers: each tenant has its own `iss`.

use std::sync::Arc;

use serde_json::Value;

use crate::decide::failure::Failure;
use crate::jwt::keys::key::KeyIssuers;
use crate::jwt::token::claims::Claims;
use crate::jwt::token::fault::{invalid, shown_value};

/// The placeholder for the tenant in the name of an issuer.
pub(crate) const PLACEHOLDER: &str = "{tenantid}";

/// The tenants as they were set.
#[derive(Clone, Debug)]
pub(crate) struct TenantConfig {
    pub(crate) claim: String,
    pub(crate) allowed: Vec<String>,
}

/// The allowed tenants. No issuer's name is built from the content of a token.
#[derive(Clone, Debug)]
pub(crate) struct Tenants {
    /// The claim that names the tenant.
    claim: String,
    /// The issuer's name before and after the tenant.
    around: (String, String),
    allowed: Vec<Tenant>,
}

#[derive(Clone, Debug)]
struct Tenant {
    id: String,
    issuer: Arc<str>,
}

impl Tenants {
    /// The error describes what is wrong with the setting.
    pub(crate) fn compile(template: &str, setting: TenantConfig) -> Result<Self, String> {
        let Some((before, after)) = template.split_once(PLACEHOLDER) else {
            return Err(format!("the issuer does not contain {PLACEHOLDER}"));
        };
        if after.contains(PLACEHOLDER) {
            return Err(format!("the issuer contains {PLACEHOLDER} more than once"));
        }
        if setting.claim.is_empty() {
            return Err("the claim has no name".to_owned());
        }
        if let Some(odd) = setting.allowed.iter().find(|id| !is_id(id)) {
            return Err(format!("{odd:?} is no tenant: letters, digits, `-`, `_` and `.`"));
        }
        let tenant = |id: String| Tenant { issuer: format!("{before}{id}{after}").into(), id };
        Ok(Self {
            claim: setting.claim,
            around: (before.to_owned(), after.to_owned()),
            allowed: setting.allowed.into_iter().map(tenant).collect(),
        })
    }

    /// The names of the tenants, as in their tokens.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.allowed.iter().map(|tenant| &tenant.issuer)
    }

    /// Whether that is the name of a tenant of this issuer, even if it is not allowed.
    pub(crate) fn has(&self, issuer: &str) -> bool {
        self.tenant_in(issuer).is_some()
    }

    fn tenant_in<'a>(&self, issuer: &'a str) -> Option<&'a str> {
        let (before, after) = &self.around;
        issuer.strip_prefix(before.as_str())?.strip_suffix(after.as_str()).filter(|id| is_id(id))
    }

    /// Checks that the tenant is allowed, and that claim and `iss` name the same tenant.
    pub(crate) fn check(&self, claims: &Claims) -> Result<(), Failure> {
        let tenant = self.tenant_in(claims.issuer()).unwrap_or_default();
        if !self.allowed.iter().any(|allowed| allowed.id == tenant) {
            let allowed: Vec<_> = self.allowed.iter().map(|tenant| &*tenant.id).collect();
            return Err(invalid("tenant", allowed.join(" or "), tenant));
        }
        match claims.members.get(&self.claim) {
            Some(Value::String(id)) if id == tenant => Ok(()),
            value => {
                let expected = format!("{tenant} in `{}`, as in `iss`", self.claim);
                Err(invalid("tenant", expected, shown_value(value)))
            }
        }
    }

    /// Checks the issuer of the key, if it has one (Entra's `issuer` of a JSON Web Key).
    pub(crate) fn check_key(&self, of: &KeyIssuers, claims: &Claims) -> Result<(), Failure> {
        let KeyIssuers::These(issuers) = of else { return Ok(()) };
        let tenant = self.tenant_in(claims.issuer()).unwrap_or_default();
        let is_named = |issuer: &String| issuer.replace(PLACEHOLDER, tenant) == claims.issuer();
        if issuers.iter().any(is_named) {
            return Ok(());
        }
        let issuers: Vec<_> = issuers.iter().map(String::as_str).collect();
        let expected =
            if issuers.is_empty() { "no token".to_owned() } else { issuers.join(" or ") };
        Err(invalid("key_issuer", expected, claims.issuer()))
    }
}

/// Contains nothing that changes the structure of a URL.
fn is_id(id: &str) -> bool {
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !id.is_empty() && id.bytes().all(is_of_it) && !id.bytes().all(|byte| byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(template: &str, allowed: &[&str]) -> Result<Tenants, String> {
        let allowed = allowed.iter().map(ToString::to_string).collect();
        Tenants::compile(template, TenantConfig { claim: "tid".to_owned(), allowed })
    }

    #[test]
    fn a_tenant_stands_in_its_place_and_changes_nothing_else() {
        let tenants = tenants("https://id.example/{tenantid}/v2.0", &["a-1"]).expect("good");
        for (issuer, tenant) in [
            ("https://id.example/a-1/v2.0", Some("a-1")),
            ("https://id.example/other.example/v2.0", Some("other.example")),
            ("https://id.example//v2.0", None),
            ("https://id.example/../v2.0", None),
            ("https://id.example/a/../b/v2.0", None),
            ("https://id.example/a%2fb/v2.0", None),
            ("https://id.example/{tenantid}/v2.0", None),
            ("https://id.example/a-1/v2.0/", None),
            ("https://id.example/v2.0", None),
            ("HTTPS://id.example/a-1/v2.0", None),
        ] {
            assert_eq!(tenants.tenant_in(issuer), tenant, "{issuer}");
        }
    }

    #[test]
    fn a_setting_that_can_never_match_is_an_error() {
        for template in ["https://id.example", "", "{tenantid}/{tenantid}", "https://x/{tenant}"] {
            assert!(tenants(template, &["a"]).is_err(), "{template}");
        }
        for id in ["", ".", "..", "a/b", "a b", "{tenantid}", "a\n", "é", "a#b", "a%2fb"] {
            let error = tenants("https://x/{tenantid}", &["a", id]).expect_err(id);
            assert!(error.contains(&format!("{id:?}")), "{error}");
        }
    }
}
