//! Tests of the program `orders`.

#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../.ci/openid/provider.rs"]
mod provider;
#[path = "../../../ratelimit/tests/redis_server/mod.rs"]
mod redis_server;

mod a_call_prints_json_or_says_what_went_wrong;
mod a_call_reads_its_requests_from_lines;
mod a_log_that_nobody_reads_stops_nothing;
mod a_signal_drains_the_server;
#[cfg(target_os = "linux")]
mod an_open_call_costs_little;
mod an_openid_provider_is_believed;
mod both_versions_are_served_alike;
mod callers_are_known_by_their_certificate;
mod callers_need_a_token;
mod calls_are_balanced;
mod calls_are_encrypted;
mod calls_are_repeated;
mod calls_are_retried;
mod certificates_are_renewed;
mod certs_make_what_tls_needs;
mod configuration_is_by_flags_and_variables;
mod connect_is_spoken_on_the_same_port;
mod deadlines_hold;
mod every_call_is_logged_and_counted;
mod every_line_of_standard_error_is_json;
mod health_follows_the_database;
mod health_has_a_listener_of_its_own;
mod keys_come_from_an_issuer;
mod limits_come_from_a_file;
mod nothing_is_larger_than_its_limit;
mod only_so_many_calls_pass;
mod only_so_many_calls_run;
mod prometheus_sees_what_was_called;
mod serve_says_where_it_listens_or_why_not;
mod several_servers_share_limits;
mod spans_are_exported;
mod the_demo_shows_every_way_a_call_can_end;
mod the_last_spans_are_sent_but_not_waited_for;
mod tokens_are_made_by_the_development_key;
