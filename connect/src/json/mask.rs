//! The paths of a `google.protobuf.FieldMask`: `created_at` in a message, `createdAt` in JSON.

/// The path for a message, or `None` if this is not a path of JSON.
pub(super) fn to_snake_case(path: &str) -> Option<String> {
    let mut snake = String::with_capacity(path.len() + 4);
    for part in path.split('.') {
        if !snake.is_empty() {
            snake.push('.');
        }
        if !part.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return None;
        }
        for letter in part.chars() {
            match letter {
                'A'..='Z' => snake.extend(['_', letter.to_ascii_lowercase()]),
                'a'..='z' | '0'..='9' => snake.push(letter),
                _ => return None,
            }
        }
    }
    Some(snake)
}

/// Appends the path for JSON. `false` if it would not lead back to the same path.
pub(super) fn to_camel_case(path: &str, out: &mut Vec<u8>) -> bool {
    let mut after_underscore = false;
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' if after_underscore => out.push(byte.to_ascii_uppercase()),
            _ if after_underscore => return false,
            b'a'..=b'z' | b'0'..=b'9' | b'.' => out.push(byte),
            b'_' => {}
            _ => return false,
        }
        after_underscore = byte == b'_';
    }
    !after_underscore
}
