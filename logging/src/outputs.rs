//! Where the lines of a layer go.

#[cfg(feature = "json")]
use crate::lines::Lines;
use crate::member::Line;
use crate::site::Site;
use crate::sites::Sites;

/// Where the lines of a layer go: to `tracing` as events, to an access log of the layer's own, or to both.
#[derive(Clone, Default)]
pub(crate) struct Outputs {
    #[cfg(feature = "json")]
    pub(crate) lines: Option<Lines>,
    /// Whether lines are events, if that is set. By default they are, unless there is an access log.
    #[cfg(feature = "json")]
    pub(crate) events: Option<bool>,
}

/// The outputs that one line is written to: one, or both.
pub(crate) struct Sinks<'o> {
    site: &'static Site,
    is_event: bool,
    #[cfg(feature = "json")]
    lines: Option<&'o Lines>,
    #[cfg(not(feature = "json"))]
    lines: std::marker::PhantomData<&'o ()>,
}

impl Outputs {
    /// Whether any line may be written.
    pub(crate) fn may_be_enabled(&self, sites: &Sites) -> bool {
        self.has_lines() || (self.has_events() && sites.may_be_enabled())
    }

    /// The outputs that take lines of this site; `None` if there are none.
    pub(crate) fn sinks(&self, site: &'static Site) -> Option<Sinks<'_>> {
        let is_event = self.has_events() && site.is_enabled();
        #[cfg(feature = "json")]
        {
            let lines = self.lines.as_ref().filter(|lines| lines.takes(site.level()));
            (is_event || lines.is_some()).then_some(Sinks { site, is_event, lines })
        }
        #[cfg(not(feature = "json"))]
        is_event.then_some(Sinks { site, is_event, lines: std::marker::PhantomData })
    }

    #[cfg(feature = "json")]
    fn has_lines(&self) -> bool {
        self.lines.is_some()
    }

    #[cfg(feature = "json")]
    fn has_events(&self) -> bool {
        self.events.unwrap_or(self.lines.is_none())
    }

    #[cfg(not(feature = "json"))]
    fn has_lines(&self) -> bool {
        false
    }

    #[cfg(not(feature = "json"))]
    fn has_events(&self) -> bool {
        true
    }
}

impl Sinks<'_> {
    pub(crate) fn write(&self, line: &impl Line) {
        #[cfg(feature = "json")]
        if let Some(lines) = self.lines {
            lines.write(self.site, line);
        }
        if self.is_event {
            self.site.emit(line);
        }
    }
}
