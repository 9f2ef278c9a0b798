//! The methods that are known to exist, which bound the values of labels and span names.

use std::fmt;

use arc_swap::ArcSwap;
use http::request;
use rustc_hash::FxHashMap;
use tonic::GrpcMethod;

use crate::method::method_name::MethodName;
use crate::method::rpc::is_infrastructure;
use crate::method::{KnownMethod, Methods, Rpc};
use crate::observe::Side;

/// The set of methods that are known to exist, so that a label never contains arbitrary text from a caller.
///
/// With a descriptor set, these are its methods and those of health and reflection. Without one, methods are
/// learned from traffic: a path becomes known when a service has answered it, with a response head that is not
/// already the whole response, or with status `OK`. It is known before
/// [`Call::responded`](crate::Call::responded) is called for that head, so that the first call can already have
/// its label. A refusal never makes a path known, from whichever layer it comes. On a client, a method called
/// by generated code is known from its first call. At most [`MAX_LEARNED_METHODS`] paths are learned; further
/// paths stay unknown.
///
/// Each [`ObserveLayer`](crate::ObserveLayer) learns separately, unless layers share one set through
/// [`known`](crate::ObserveLayer::known). A lookup takes no lock and does not allocate.
pub struct KnownMethods(Source);

enum Source {
    Described(Methods),
    Learned(ArcSwap<FxHashMap<MethodName, usize>>),
}

/// The maximum number of methods learned from traffic.
pub const MAX_LEARNED_METHODS: usize = 1_000;

/// The maximum length of a learned path in bytes. A name is copied to many places, so longer ones are not
/// accepted.
const MAX_PATH_BYTES: usize = 1_024;

impl KnownMethods {
    /// Starts empty, and learns methods from calls that a service has answered.
    pub fn learning() -> Self {
        Self(Source::Learned(ArcSwap::default()))
    }

    /// Uses exactly these methods.
    pub fn described(methods: Methods) -> Self {
        Self(Source::Described(methods))
    }

    /// The exclusive upper bound of every [index](KnownMethod::index), now and later.
    pub fn capacity(&self) -> usize {
        match &self.0 {
            Source::Described(methods) => methods.capacity(),
            Source::Learned(_) => MAX_LEARNED_METHODS,
        }
    }

    /// The methods of the descriptor set, if one is used.
    pub fn methods(&self) -> Option<&Methods> {
        match &self.0 {
            Source::Described(methods) => Some(methods),
            Source::Learned(_) => None,
        }
    }

    /// The current number of known methods.
    pub fn len(&self) -> usize {
        match &self.0 {
            Source::Described(methods) => methods.len(),
            Source::Learned(names) => names.load().len(),
        }
    }

    /// Whether no method is known yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The method that a request calls, with what is known about it.
    pub(crate) fn resolve(&self, side: Side, head: &request::Parts) -> Rpc {
        if let Source::Described(methods) = &self.0 {
            return methods.resolve(head);
        }
        let rpc = Rpc::from_head(head);
        let mut known = self.find(&rpc);
        if known.is_none()
            && side == Side::Client
            && head.extensions.get::<GrpcMethod<'static>>().is_some()
        {
            self.learn(&rpc);
            known = self.find(&rpc);
        }
        rpc.with_known(known, false)
    }

    /// Whether the method is not known yet and a response can make it known.
    pub fn may_learn(&self, rpc: &Rpc) -> bool {
        match &self.0 {
            Source::Described(_) => false,
            Source::Learned(names) => {
                let names = names.load();
                is_learnable(rpc)
                    && names.len() < MAX_LEARNED_METHODS
                    && !names.contains_key(rpc.full())
            }
        }
    }

    /// The same method, with what is known about it now.
    pub fn refresh(&self, rpc: &Rpc) -> Rpc {
        rpc.clone().with_known(self.find(rpc), self.methods().is_some())
    }

    /// Whether the method is known now. [`Rpc::known`] returns whether it was known when the call began.
    pub fn knows(&self, rpc: &Rpc) -> bool {
        self.find(rpc).is_some()
    }

    /// Makes the method known, because a service has answered it. Returns whether it is known now. It is not if
    /// its path is malformed or longer than 1,024 bytes, if the maximum number is reached, or if a descriptor
    /// set is used and does not contain it.
    pub fn learn(&self, rpc: &Rpc) -> bool {
        let Source::Learned(names) = &self.0 else { return self.knows(rpc) };
        let known = names.load();
        if known.contains_key(rpc.full()) {
            return true;
        }
        if known.len() >= MAX_LEARNED_METHODS || !is_learnable(rpc) {
            return false;
        }
        let name = MethodName::new(rpc.full());
        names.rcu(|names| {
            let mut names = FxHashMap::clone(names);
            if names.len() < MAX_LEARNED_METHODS && !names.contains_key(rpc.full()) {
                let index = names.len();
                names.insert(name.clone(), index);
            }
            names
        });
        self.knows(rpc)
    }

    fn find(&self, rpc: &Rpc) -> Option<KnownMethod> {
        match &self.0 {
            Source::Described(methods) => methods.known(rpc),
            Source::Learned(names) => {
                let names = names.load();
                let (name, &index) = names.get_key_value(rpc.full())?;
                Some(KnownMethod {
                    index,
                    kind: None,
                    idempotency: None,
                    name: name.leaked(),
                    is_plain: false,
                    is_infrastructure: is_infrastructure(rpc.service()),
                })
            }
        }
    }
}

fn is_learnable(rpc: &Rpc) -> bool {
    rpc.is_well_formed() && rpc.full().len() <= MAX_PATH_BYTES
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
    use crate::method::kinds_tests::{kinds, methods_of};
    use crate::show::sanitize_str;

    fn resolved(known: &KnownMethods, path: &'static str) -> Rpc {
        let mut request = http::Request::new(());
        *request.uri_mut() = http::Uri::from_static(path);
        known.resolve(Side::Server, &request.into_parts().0)
    }

    #[test]
    fn a_service_answer_makes_the_method_known() {
        let known = KnownMethods::learning();
        let rpc = resolved(&known, "/a.B/C");
        assert!(!known.knows(&rpc));
        assert!(known.learn(&rpc) && known.learn(&rpc) && known.knows(&rpc));
        assert!(!known.learn(&resolved(&known, "/a/b/c")));
        let long =
            format!("/a.B/{}", "c".repeat(MAX_PATH_BYTES)).parse::<http::Uri>().expect("a path");
        assert!(!known.learn(&Rpc::from_uri(&long)));
        for number in 0..MAX_LEARNED_METHODS {
            let path = format!("/a.B/{number}").parse::<http::Uri>().expect("a path");
            let room = number < MAX_LEARNED_METHODS - 1;
            assert_eq!(known.learn(&Rpc::from_uri(&path)), room);
        }

        let methods = kinds();
        let described = KnownMethods::from(&methods);
        assert!(described.learn(&resolved(&described, "/test.v1.Kinds/Unary")));
        assert!(!described.learn(&resolved(&described, "/test.v1.Kinds/Unnary")));
    }

    #[test]
    fn a_known_method_has_a_name_that_lives_as_long_as_the_process() {
        let learning = KnownMethods::learning();
        let rpc = resolved(&learning, "/test.v1.Kinds/Unary");
        assert_eq!(rpc.static_name(), None);
        learning.learn(&rpc);
        let described = KnownMethods::from(&kinds());
        for known in [&learning, &described] {
            let rpc = resolved(known, "/test.v1.Kinds/Unary?query");
            assert_eq!(rpc.static_name(), Some("test.v1.Kinds/Unary"));
            assert_eq!(resolved(known, "/test.v1.Kinds/Unnary").static_name(), None);
        }
    }

    #[test]
    fn a_method_is_resolved_alike_whatever_the_thread_has_called_before() {
        let described =
            [kinds(), Methods::default(), kinds()].map(|methods| KnownMethods::from(&methods));
        let paths = [
            "/test.v1.Kinds/Unary",
            "/test.v1.Kinds/Unary?query",
            "/test.v1.Kinds/ServerStream",
            "/test.v1.Kinds/Unar",
            "/test.v1.Kinds/Unary/",
            "/test.v1.Kinds/Unary2",
            "//test.v1.Kinds/Unary",
            "/prefix/test.v1.Kinds/Unary",
            "/grpc.health.v1.Health/Check",
            "/",
        ];
        for known in &described {
            let methods = known.methods().expect("a descriptor set");
            for before in paths {
                for path in paths {
                    resolved(known, before);
                    let rpc = resolved(known, path);
                    let read = Rpc::from_uri(&http::Uri::from_static(path));
                    assert_eq!(rpc.known(), methods.known(&read), "{path} after {before}");
                    assert_eq!(rpc.is_undescribed(), rpc.known().is_none(), "{path}");
                    assert_eq!(rpc.path(), read.path(), "{path}");
                    assert_eq!(
                        (rpc.service(), rpc.method(), rpc.full(), rpc.is_well_formed()),
                        (read.service(), read.method(), read.full(), read.is_well_formed()),
                        "{path} after {before}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_name_is_plain_if_a_set_describes_it_and_it_is_an_identifier() {
        let long = "x".repeat(2_000);
        let described = KnownMethods::from(&methods_of(&["Get_2", "a\"b", "Gét", &long]));
        let learning = KnownMethods::learning();
        for known in [&described, &learning] {
            for name in ["Get_2", "a\"b", "Gét", "Other", &long] {
                let uri = http::Uri::try_from(format!("/test.v1.Kinds/{name}")).expect("a path");
                let mut request = http::Request::new(());
                *request.uri_mut() = uri.clone();
                let head = request.into_parts().0;
                learning.learn(&Rpc::from_uri(&uri));
                let rpc = known.resolve(Side::Server, &head);
                let full = format!("test.v1.Kinds/{name}");
                let is_plain = name == "Get_2" && std::ptr::eq(known, &described);
                assert_eq!(rpc.plain(), is_plain.then_some(&*full), "{name}");
                assert_eq!(rpc.shown(), sanitize_str(&full), "{name}");
            }
        }
    }

    #[test]
    fn health_and_reflection_are_infrastructure_whether_or_not_they_are_known() {
        let learning = KnownMethods::learning();
        for (path, is_infrastructure) in [
            ("/grpc.health.v1.Health/Check", true),
            ("/grpc.health.v1.Health/Other", true),
            ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true),
            ("/grpc.health.v2.Health/Check", false),
            ("/test.v1.Kinds/Unary", false),
        ] {
            learning.learn(&Rpc::from_uri(&http::Uri::from_static(path)));
            for known in [&KnownMethods::from(&kinds()), &learning, &KnownMethods::learning()] {
                let rpc = resolved(known, path);
                assert_eq!(rpc.is_infrastructure(), is_infrastructure, "{path} {known:?}");
            }
        }
    }

    #[test]
    fn only_with_a_descriptor_set_a_method_is_undescribed() {
        let methods = kinds();
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
