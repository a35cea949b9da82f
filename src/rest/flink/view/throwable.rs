//! A failure as Flink's Java client wants it: it reads a serialised `SerializedThrowable` out of every answer that has a failure, and
//! shows nothing but a parser's error where there is none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What stands where Flink has the name of a Java class.
const CLASS: &str = "flott.Failure";
/// Of a text; a longer one would need another encoding.
const TEXT_BYTES_MAX: usize = 60_000;

/// A failure where Flink has a serialised exception.
pub(in super::super) fn throwable(message: &str) -> Value {
    json!({ "class": CLASS, "stack-trace": message, "serialized-throwable": STANDARD.encode(serialized(message)) })
}

// Java's Object Serialization Stream Protocol, version 5.
const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS_DESCRIPTION: u8 = 0x72;
const OBJECT: u8 = 0x73;
const STRING: u8 = 0x74;
const END_BLOCK_DATA: u8 = 0x78;
const SERIALIZABLE: u8 = 0x02;
const WRITES_ITSELF: u8 = 0x01;

/// An object of `org.apache.flink.util.SerializedThrowable` without the bytes of an original exception.
fn serialized(message: &str) -> Vec<u8> {
    let mut out = vec![0xac, 0xed, 0x00, 0x05, OBJECT];
    begin_class(&mut out, "org.apache.flink.util.SerializedThrowable", 0x6516_9df5_1fa7_13f3, SERIALIZABLE, 3);
    field(&mut out, b'L', "fullStringifiedStackTrace", Some("Ljava/lang/String;"));
    field(&mut out, b'L', "originalErrorClassName", None);
    field(&mut out, b'[', "serializedException", Some("[B"));
    out.push(END_BLOCK_DATA);
    begin_class(&mut out, "java.lang.Exception", 0xd0fd_1f3e_1a3b_1cc4, SERIALIZABLE, 0);
    out.push(END_BLOCK_DATA);
    begin_class(&mut out, "java.lang.Throwable", 0xd5c6_3527_3977_b8cb, SERIALIZABLE | WRITES_ITSELF, 4);
    field(&mut out, b'L', "cause", Some("Ljava/lang/Throwable;"));
    field(&mut out, b'L', "detailMessage", None);
    field(&mut out, b'[', "stackTrace", Some("[Ljava/lang/StackTraceElement;"));
    field(&mut out, b'L', "suppressedExceptions", Some("Ljava/util/List;"));
    out.extend([END_BLOCK_DATA, NULL]);
    // Values, from the uppermost class down: no cause, the message, no Java stack, nothing suppressed.
    out.push(NULL);
    text(&mut out, message);
    out.extend([NULL, NULL, END_BLOCK_DATA]);
    text(&mut out, message);
    text(&mut out, CLASS);
    out.push(NULL);
    out
}

fn begin_class(out: &mut Vec<u8>, name: &str, version: u64, flags: u8, fields: u16) {
    out.push(CLASS_DESCRIPTION);
    utf(out, name);
    out.extend(version.to_be_bytes());
    out.push(flags);
    out.extend(fields.to_be_bytes());
}

/// A field; without a type it has that of the first one, a string's.
fn field(out: &mut Vec<u8>, kind: u8, name: &str, of_type: Option<&str>) {
    out.push(kind);
    utf(out, name);
    match of_type {
        Some(of_type) => text(out, of_type),
        None => out.extend([REFERENCE, 0x00, 0x7e, 0x00, 0x01]),
    }
}

fn text(out: &mut Vec<u8>, value: &str) {
    out.push(STRING);
    utf(out, value);
}

/// Length and content, each UTF-16 unit by itself, as Java writes it.
fn utf(out: &mut Vec<u8>, value: &str) {
    let mut bytes = Vec::with_capacity(value.len());
    for unit in value.encode_utf16() {
        if bytes.len() + 3 > TEXT_BYTES_MAX {
            break;
        }
        let [high, low] = [(unit >> 6) as u8 & 0x3f, unit as u8 & 0x3f];
        match unit {
            0x0001..=0x007f => bytes.push(unit as u8),
            0x0000 | 0x0080..=0x07ff => bytes.extend([0xc0 | (unit >> 6) as u8, 0x80 | low]),
            0x0800.. => bytes.extend([0xe0 | (unit >> 12) as u8, 0x80 | high, 0x80 | low]),
        }
    }
    out.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of what a real Flink 2.1 sent: all classes with their fields.
    const RECORDED: &str = "rO0ABXNyAClvcmcuYXBhY2hlLmZsaW5rLnV0aWwuU2VyaWFsaXplZFRocm93YWJsZWUWnfUfpxPzAgADTAAZZnVsbFN0cmluZ2lmaWVkU3RhY2\
        tUcmFjZXQAEkxqYXZhL2xhbmcvU3RyaW5nO0wAFm9yaWdpbmFsRXJyb3JDbGFzc05hbWVxAH4AAVsAE3NlcmlhbGl6ZWRFeGNlcHRpb250AAJb\
        QnhyABNqYXZhLmxhbmcuRXhjZXB0aW9u0P0fPho7HMQCAAB4cgATamF2YS5sYW5nLlRocm93YWJsZdXGNSc5d7jLAwAETAAFY2F1c2V0ABVMam\
        F2YS9sYW5nL1Rocm93YWJsZTtMAA1kZXRhaWxNZXNzYWdlcQB+AAFbAApzdGFja1RyYWNldAAeW0xqYXZhL2xhbmcvU3RhY2tUcmFjZUVsZW1l\
        bnQ7TAAUc3VwcHJlc3NlZEV4Y2VwdGlvbnN0ABBMamF2YS91dGlsL0xpc3Q7eHA=";

    #[test]
    fn the_classes_are_written_as_java_writes_them() {
        let recorded = STANDARD.decode(RECORDED).unwrap();
        assert_eq!(serialized("x")[..recorded.len()], recorded);
    }

    #[test]
    fn texts_are_written_as_java_writes_them() {
        let written = |value: &str| {
            let mut out = Vec::new();
            utf(&mut out, value);
            out
        };
        assert_eq!(written("aß€"), [0, 6, b'a', 0xc3, 0x9f, 0xe2, 0x82, 0xac]);
        assert_eq!(written("\0"), [0, 2, 0xc0, 0x80]);
        assert_eq!(written("😀"), [0, 6, 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]);
        let long = written(&"€".repeat(100_000));
        assert_eq!(long.len() - 2, usize::from(u16::from_be_bytes([long[0], long[1]])));
    }
}
