//! Issuers whose tokens are not as the standards have them. None of this holds by default.

use super::issuer::Issuer;
use super::tenants::TenantConfig;
use crate::jwt::token::header::Typ;

impl Issuer {
    /// Takes access tokens of an Amazon Cognito user pool and nothing else: `token_use` is `access`,
    /// `client_id` is one of these app clients, `sub` is there, and `typ` is absent or `JWT`.
    ///
    /// Cognito writes no `aud` into most of them: it says by `client_id` which app client has got the token. So
    /// no [audience](Self::audience) is needed. A token that has an `aud` all the same, as with Cognito's
    /// resource binding, needs one of the audiences.
    ///
    /// The issuer is `https://cognito-idp.REGION.amazonaws.com/POOL`, and its keys are found by discovery. Every
    /// user of an app client has such tokens, whatever the service that they are sent to: what a caller may do
    /// here is for [`Access`](crate::Access) and the scopes to say, or for the groups, with
    /// [`scopes_at("/cognito:groups")`](Self::scopes_at).
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
    /// [`build`](Self::build) fails with [`NoClients`](crate::jwt::JwtError::NoClients) when no app client is given, or one without a
    /// name.
    pub fn cognito<C: Into<String>>(self, clients: impl IntoIterator<Item = C>) -> Self {
        Self {
            typ: Typ::Plain,
            required: &["sub"],
            exactly: &[("token_use", "access")],
            clients: Some(clients.into_iter().map(Into::into).collect()),
            ..self
        }
    }

    /// Takes tokens of these tenants of an issuer that has many, such as Microsoft Entra. The issuer's name is
    /// then a template: `{tenantid}` in it, once, stands for the tenant.
    ///
    /// A token's `iss` must be the template with one of these tenants in it, and the claim must name the same
    /// tenant. A key whose JSON Web Key has a member `issuer` verifies tokens of that issuer alone, which can be
    /// a template too: Entra publishes keys of several issuers in one set.
    ///
    /// The issuer of a caller's [`Identity`](crate::Identity) is its tenant's, so that two tenants' callers with
    /// one `sub` are two [principals](crate::Identity::principal). A tenant is spelt as in its tokens; case
    /// counts.
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
    /// [`build`](Self::build) fails with [`NoTenants`](crate::jwt::JwtError::NoTenants) when no tenant is given, and with
    /// [`Setting`](crate::jwt::JwtError::Setting) when the issuer's name does not have `{tenantid}` in it once, when a tenant has
    /// other characters than letters, digits, `-`, `_` and `.`, and when the keys are to be found by
    /// [discovery](crate::jwt::Jwt::discover): a template has no document.
    pub fn tenants<T: Into<String>>(
        self,
        claim: impl Into<String>,
        allowed: impl IntoIterator<Item = T>,
    ) -> Self {
        let allowed = allowed.into_iter().map(Into::into).collect();
        Self { tenants: Some(TenantConfig { claim: claim.into(), allowed }), ..self }
    }
}
