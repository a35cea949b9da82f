//! Subtasks stepped by hand, and whole graphs on threads, with operators of the tests' own.

mod fixture;
mod sources;
mod stepping;
mod threads;
