//! JSON Web Tokens: which are believed, and by which keys.
