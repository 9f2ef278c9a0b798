//! Presets for issuers whose tokens deviate from the standards.

use super::issuer::Issuer;
use super::tenants::TenantConfig;
use crate::jwt::token::header::Typ;

impl Issuer {
    /// Requires access tokens of an Amazon Cognito user pool: `token_use` is `access`,
    /// `client_id` is one of these app clients, `sub` is present, and `typ` is absent or `JWT`.
    ///
    /// Most of these tokens have no `aud`; `client_id` names the app client. So no [audience](Self::audience) is
    /// required. If a token has an `aud`, as with Cognito's resource binding, it must contain one of the audiences.
    ///
    /// The issuer is `https://cognito-idp.REGION.amazonaws.com/POOL`, and its keys are found by discovery. Every
    /// user of an app client can get such tokens, for any service: restrict callers by [`Access`](crate::Access) and
    /// scopes, or by groups with [`scopes_at("/cognito:groups")`](Self::scopes_at).
    ///
    /// ```
    /// # #[cfg(feature = "http")]
    /// # fn build() -> Result<(), tonic_auth_layer::jwt::JwtError> {
    /// use tonic_auth_layer::jwt::Jwt;
    ///
    /// let pool = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE";
    /// let jwt = Jwt::discover(pool).cognito(["1example23456789"]).build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) fails with [`NoClients`](crate::jwt::JwtError::NoClients) if there is no app client,
    /// or one has an empty name.
    pub fn cognito<C: Into<String>>(self, clients: impl IntoIterator<Item = C>) -> Self {
        Self {
            typ: Typ::Plain,
            required: &["sub"],
            exactly: &[("token_use", "access")],
            clients: Some(clients.into_iter().map(Into::into).collect()),
            ..self
        }
    }

    /// Accepts tokens of these tenants of a multi-tenant issuer, such as Microsoft Entra. The issuer's name is then a
    /// template that contains `{tenantid}` once.
    ///
    /// A token's `iss` must be the template with one of these tenants, and the claim must name the same tenant. A
    /// key with a member `issuer` in its JSON Web Key verifies only tokens of that issuer, which can be a template
    /// too: Entra publishes keys of several issuers in one set.
    ///
    /// The issuer of a caller's [`Identity`](crate::Identity) is the tenant's, so callers of two tenants with the
    /// same `sub` are different [principals](crate::Identity::principal). Tenants are case-sensitive.
    ///
    /// ```
    /// # #[cfg(feature = "http")]
    /// # fn build() -> Result<(), tonic_auth_layer::jwt::JwtError> {
    /// use tonic_auth_layer::jwt::Jwt;
    ///
    /// let issuer = "https://login.microsoftonline.com/{tenantid}/v2.0";
    /// let keys = "https://login.microsoftonline.com/common/discovery/v2.0/keys";
    /// let jwt = Jwt::jwks_url(issuer, keys)
    ///     .tenants("tid", ["aaaabbbb-0000-cccc-1111-dddd2222eeee"])
    ///     .audience("00001111-aaaa-2222-bbbb-3333cccc4444") // our application's ID
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) fails with [`NoTenants`](crate::jwt::JwtError::NoTenants) if there is no tenant, and
    /// with [`Setting`](crate::jwt::JwtError::Setting) if the issuer's name does not contain `{tenantid}` exactly
    /// once, if a tenant has other characters than letters, digits, `-`, `_` and `.`, and for keys by
    /// [discovery](crate::jwt::Jwt::discover): a template has no discovery document.
    pub fn tenants<T: Into<String>>(
        self,
        claim: impl Into<String>,
        allowed: impl IntoIterator<Item = T>,
    ) -> Self {
        let allowed = allowed.into_iter().map(Into::into).collect();
        Self { tenants: Some(TenantConfig { claim: claim.into(), allowed }), ..self }
    }
}
