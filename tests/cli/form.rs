//! How much a suite tries: its short form, or its long one.

/// Whether the long form was asked for.
pub fn is_long() -> bool {
    std::env::var_os("FLECHE_LONG").is_some_and(|long| long == "1")
}

/// One number or another, as the long form was asked for or not.
pub fn of_form<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}
