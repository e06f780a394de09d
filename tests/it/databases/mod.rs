//! Destinations from databases: which rows are used, what is reported of the others, and what a
//! relay does while its database fails.
//!
//! Starting a server takes longer than all the rows, so it is started once and the rows run one
//! after the other.

mod away;
mod mariadb;
mod postgres;
mod rows;
mod sqlite;
mod strangers;
mod tools;
