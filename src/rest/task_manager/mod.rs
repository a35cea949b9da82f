//! What a TaskManager answers over HTTP: logs and stdout.
