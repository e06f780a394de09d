//! Destinations from databases: what rows are read, what is said of the others, and what a relay does
//! while its database fails.
//!
//! A server is made once and its rows are played one after the other, since making one takes longer
//! than all of them.

mod away;
mod mariadb;
mod postgres;
mod rows;
mod sqlite;
mod strangers;
mod tools;
