use super::error::ConfigError;
use super::json::Node;

/// When too many calls fail for more attempts to help (gRFC A6, "Throttling retry attempts").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryThrottling {
    max_tokens: u32,
    milli_ratio: u32,
}

impl RetryThrottling {
    /// The most tokens that there can be: up to 1,000. A failure takes one, and failed calls are tried again only
    /// while more than half of them are there.
    pub fn max_tokens(&self) -> u32 {
        self.max_tokens
    }

    /// The thousandths of a token that a call returns when it succeeds.
    pub fn token_ratio_thousandths(&self) -> u32 {
        self.milli_ratio
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let max = node.required("maxTokens")?;
        let max_tokens = match u32::try_from(max.integer_from(1)?) {
            Ok(tokens) if tokens <= 1_000 => tokens,
            _ => return Err(max.error("must be at most 1000")),
        };
        let ratio = node.required("tokenRatio")?;
        let thousandths = ratio.positive_number()? * 1_000.0;
        // Decimal fractions such as 0.007 are a little less than what was written.
        let nearest = thousandths.round();
        let exact = (thousandths - nearest).abs() < 1e-6;
        // A ratio above the maximum fills up all the tokens, as the maximum does. The cast saturates.
        match if exact { nearest } else { thousandths.floor() } as u32 {
            0 => Err(ratio.error("must be at least 0.001: further decimals are ignored")),
            milli_ratio => {
                Ok(Self { max_tokens, milli_ratio: milli_ratio.min(max_tokens * 1_000) })
            }
        }
    }
}
