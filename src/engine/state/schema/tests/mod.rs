mod evolution;
mod hostile;
mod round_trip;
mod tracing;
