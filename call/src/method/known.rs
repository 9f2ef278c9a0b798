//! Which methods are served here: what bounds every label and span name.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request;
use rustc_hash::FxHashMap;
use tonic::GrpcMethod;

use crate::method::{KnownMethod, Methods, Rpc};
use crate::observe::Side;

/// The methods that are known to be served, so that a label never holds what a stranger sent.
///
/// With a descriptor set these are exactly its methods, and those of health and reflection. Without, a path becomes known when a
/// service answered for it: a response head arrived that was not already the whole answer, or the
/// call ended `OK`. It is known before [`Call::responded`](crate::Call::responded) is called for that
/// head, so that a first call can have its label then. A refusal never makes a path known, whichever
/// layer it came from. On a client, what generated code sends is known from its first call on. At most
/// [`MAX_LEARNED_METHODS`] paths are learnt; all others stay unknown.
///
/// Each [`ObserveLayer`](crate::ObserveLayer) learns for itself, unless several are given the same by
/// [`known`](crate::ObserveLayer::known). Looking one up takes no lock and allocates nothing.
pub struct KnownMethods(Source);

enum Source {
    Described(Methods),
    Learnt(ArcSwap<FxHashMap<Arc<str>, usize>>),
}

/// How many methods are learnt from traffic, at most.
pub const MAX_LEARNED_METHODS: usize = 1_000;

/// A path is learnt only if it is no longer than that, in bytes: one that goes wherever names go should not
/// fill it.
const NAME_AT_MOST: usize = 1_024;

impl KnownMethods {
    /// Knows nothing yet, and learns from the calls that are answered.
    pub fn learning() -> Self {
        Self(Source::Learnt(ArcSwap::default()))
    }

    /// Knows exactly these methods.
    pub fn described(methods: Methods) -> Self {
        Self(Source::Described(methods))
    }

    /// One more than the highest [index](KnownMethod::index) there will ever be.
    pub fn capacity(&self) -> usize {
        match &self.0 {
            Source::Described(methods) => methods.capacity(),
            Source::Learnt(_) => MAX_LEARNED_METHODS,
        }
    }

    /// The descriptor set's methods, if they are known from one.
    pub fn methods(&self) -> Option<&Methods> {
        match &self.0 {
            Source::Described(methods) => Some(methods),
            Source::Learnt(_) => None,
        }
    }

    /// How many methods are known now.
    pub fn len(&self) -> usize {
        match &self.0 {
            Source::Described(methods) => methods.len(),
            Source::Learnt(names) => names.load().len(),
        }
    }

    /// Whether no method is known yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names the method that a request calls, with what is known of it.
    pub(crate) fn resolve(&self, side: Side, head: &request::Parts) -> Rpc {
        let rpc = Rpc::from_head(head);
        let mut known = self.find(&rpc);
        if known.is_none()
            && side == Side::Client
            && head.extensions.get::<GrpcMethod<'static>>().is_some()
        {
            self.learn(&rpc);
            known = self.find(&rpc);
        }
        rpc.with_known(known, self.methods().is_some())
    }

    /// Whether an answer can still make the method known, which it is not yet.
    pub fn may_learn(&self, rpc: &Rpc) -> bool {
        match &self.0 {
            Source::Described(_) => false,
            Source::Learnt(names) => {
                let names = names.load();
                is_learnable(rpc)
                    && names.len() < MAX_LEARNED_METHODS
                    && !names.contains_key(rpc.full())
            }
        }
    }

    /// The same method, with what is known of it now.
    pub fn refresh(&self, rpc: &Rpc) -> Rpc {
        rpc.clone().with_known(self.find(rpc), self.methods().is_some())
    }

    /// Whether the method is known now. A call's own [`known`](Rpc::known) says whether it was when the
    /// call began.
    pub fn knows(&self, rpc: &Rpc) -> bool {
        self.find(rpc).is_some()
    }

    /// Makes the method known, because a service has answered for it, and says whether it is known
    /// now: not if its path is not well formed or longer than 1,024 bytes, if there is no more room, or if
    /// only those of a descriptor set are known and it is none of them.
    pub fn learn(&self, rpc: &Rpc) -> bool {
        let Source::Learnt(names) = &self.0 else { return self.knows(rpc) };
        let known = names.load();
        if known.contains_key(rpc.full()) {
            return true;
        }
        if known.len() >= MAX_LEARNED_METHODS || !is_learnable(rpc) {
            return false;
        }
        names.rcu(|names| {
            let mut names = FxHashMap::clone(names);
            if names.len() < MAX_LEARNED_METHODS && !names.contains_key(rpc.full()) {
                let index = names.len();
                names.insert(rpc.full().into(), index);
            }
            names
        });
        self.knows(rpc)
    }

    fn find(&self, rpc: &Rpc) -> Option<KnownMethod> {
        match &self.0 {
            Source::Described(methods) => methods.known(rpc),
            Source::Learnt(names) => {
                names.load().get(rpc.full()).map(|&index| KnownMethod::learnt(index))
            }
        }
    }
}

fn is_learnable(rpc: &Rpc) -> bool {
    rpc.is_well_formed() && rpc.full().len() <= NAME_AT_MOST
}

impl Default for KnownMethods {
    fn default() -> Self {
        Self::learning()
    }
}

impl From<&Methods> for KnownMethods {
    fn from(methods: &Methods) -> Self {
        Self::described(methods.clone())
    }
}

impl fmt::Debug for KnownMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownMethods").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(known: &KnownMethods, path: &'static str) -> Rpc {
        let mut request = http::Request::new(());
        *request.uri_mut() = http::Uri::from_static(path);
        known.resolve(Side::Server, &request.into_parts().0)
    }

    #[test]
    fn whoever_saw_a_service_answer_can_make_its_method_known() {
        let known = KnownMethods::learning();
        let rpc = resolved(&known, "/a.B/C");
        assert!(!known.knows(&rpc));
        assert!(known.learn(&rpc) && known.learn(&rpc) && known.knows(&rpc));
        assert!(!known.learn(&resolved(&known, "/a/b/c")));
        let long =
            format!("/a.B/{}", "c".repeat(NAME_AT_MOST)).parse::<http::Uri>().expect("a path");
        assert!(!known.learn(&Rpc::from_uri(&long)));
        for number in 0..MAX_LEARNED_METHODS {
            let path = format!("/a.B/{number}").parse::<http::Uri>().expect("a path");
            let room = number < MAX_LEARNED_METHODS - 1;
            assert_eq!(known.learn(&Rpc::from_uri(&path)), room);
        }

        let methods = Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET)
            .expect("a descriptor set");
        let described = KnownMethods::from(&methods);
        assert!(described.learn(&resolved(&described, "/test.v1.Kinds/Unary")));
        assert!(!described.learn(&resolved(&described, "/test.v1.Kinds/Unnary")));
    }

    #[test]
    fn only_a_descriptor_set_says_that_there_is_no_such_method() {
        let methods = Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET)
            .expect("a descriptor set");
        for (path, known, undescribed) in [
            ("/test.v1.Kinds/Unary", true, false),
            ("/test.v1.Kinds/Unnary", false, true),
            ("/no/path/of/grpc", false, true),
        ] {
            let rpc = resolved(&KnownMethods::from(&methods), path);
            assert_eq!(
                (rpc.known().is_some(), rpc.is_undescribed()),
                (known, undescribed),
                "{path}"
            );
            assert!(!resolved(&KnownMethods::learning(), path).is_undescribed(), "{path}");
        }
    }
}
