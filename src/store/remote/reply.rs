//! What the answers of a Redis mean.

use redis::{ServerError, Value, parse_redis_value};

use super::Failure;

/// What an answer says of an error has at most so many characters.
const LONGEST_REASON: usize = 120;
/// The word that tells which error it is has at most so many.
const LONGEST_CODE: usize = 32;

/// What a line says, if that is no error.
pub fn parsed(line: &[u8]) -> Result<Value, Failure> {
    good(parse_redis_value(line).map_err(|_| strange())?)
}

/// The same of an answer to a value, which may be none that the server takes.
pub fn taken(line: &[u8]) -> Result<Value, Failure> {
    match parse_redis_value(line).map_err(|_| strange())? {
        Value::ServerError(why) if why.details().is_some_and(|told| told.starts_with("Protocol error")) => {
            Err(Failure::Rejected(failed(&why).to_string()))
        }
        answer => good(answer),
    }
}

pub fn good(answer: Value) -> Result<Value, Failure> {
    match answer {
        Value::ServerError(why) => Err(failed(&why)),
        answer => Ok(answer),
    }
}

pub fn strange() -> Failure {
    Failure::Unreachable("it does not answer as a Redis does".to_owned())
}

/// What an error of the server means that was told who we are: its words may repeat what it was told.
pub fn unwelcome(why: &ServerError) -> Failure {
    let told = format!("it answers {} to the login", code(why));
    let is_of_it = |details: &str| {
        let details = details.to_lowercase();
        ["auth", "password"].iter().any(|word| details.contains(word))
    };
    match (failed(why), why.details().is_some_and(is_of_it)) {
        (Failure::Denied(_), _) | (_, true) => Failure::Denied(told),
        _ => Failure::Unreachable(told),
    }
}

/// The word that an error begins with, if it is one of those.
fn code(why: &ServerError) -> &str {
    let is_one = |word: &str| {
        word.len() <= LONGEST_CODE && word.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_')
    };
    Some(why.code()).filter(|word| is_one(word)).unwrap_or("an error")
}

/// What an error of the server means.
pub fn failed(why: &ServerError) -> Failure {
    // What a server says is not to reach a terminal as it is.
    let details = why.details().unwrap_or_default().chars().filter(|c| !c.is_control()).take(LONGEST_REASON);
    let told = format!("it answers {} {}", code(why), details.collect::<String>());
    match why.code() {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" | "READONLY" => Failure::Denied(told),
        _ => Failure::Unreachable(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> (Failure, Failure) {
        match parse_redis_value(line.as_bytes()).unwrap() {
            Value::ServerError(why) => (failed(&why), unwelcome(&why)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_are_told_without_what_could_harm_or_tell_a_secret() {
        let denied = |why: &str| Failure::Denied(why.to_owned());
        let unreachable = |why: &str| Failure::Unreachable(why.to_owned());
        assert_eq!(
            told("-WRONGPASS invalid password\r\n"),
            (denied("it answers WRONGPASS invalid password"), denied("it answers WRONGPASS to the login"))
        );
        assert_eq!(
            told("-LOADING \u{1b}[2Jsorry\r\n"),
            (unreachable("it answers LOADING [2Jsorry"), unreachable("it answers LOADING to the login"))
        );
        // As an older one says that it knows no users.
        let old = told("-ERR wrong number of arguments for 'auth' command\r\n");
        assert_eq!(old.1, denied("it answers ERR to the login"));
        // What is no code may be what it was told.
        for line in ["-canary+of/a/secret\r\n".to_owned(), format!("-{}\r\n", "A".repeat(33))] {
            assert_eq!(told(&line).1, unreachable("it answers an error to the login"), "{line}");
        }
        let long = told(&format!("-ERR {}\r\n", "x".repeat(1000))).0;
        assert_eq!(long, unreachable(&format!("it answers ERR {}", "x".repeat(LONGEST_REASON))));
    }
}
