//! Tests of the program as its users use it.
