//! Tests of the service, over a real socket in this process.

#![allow(missing_docs, clippy::unwrap_used, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod a_database_is_opened_only_if_it_is_ours;
mod a_drain_lets_calls_finish;
mod a_watcher_misses_nothing;
mod an_import_takes_each_order_for_itself;
mod an_order_is_kept_once_per_key;
mod connections_are_bounded;
mod database_trouble_stays_inside;
mod errors_before_a_stream_are_in_the_head;
mod every_violation_is_told_at_once;
mod fast_callers_keep_their_connection;
mod faults_happen_only_where_obeyed;
mod handshakes_are_bounded;
mod health_and_reflection_are_served;
mod large_and_unknown_requests_are_refused;
mod no_field_is_a_bare_bool;
mod pages_are_stable_under_inserts;
mod pages_name_tests_that_exist;
mod pages_of_the_second_version_are_messages;
mod quotes_are_answered_one_by_one;
mod the_second_version_has_each_kind_of_call;
mod the_second_version_refuses_by_the_paths_of_its_fields;
mod two_versions_stand_side_by_side;
