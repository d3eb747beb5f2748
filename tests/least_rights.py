"""What each test needs that is run with ``--access``, and why others are not: see ``least.py``."""

from __future__ import annotations

from collections.abc import Mapping

_STEPS = "append:steps,read:steps,read:copies"
_BAD = "read:readings,read:notes,read:penstock.dead"  # which are looked at before each bad request and after it
_REFUSED = "e2e/test_bad_input.py::test_a_bad_request_is_refused_whole"
_NOTES = (
    "infinite where there is no type",
    "bad UTF-8 where there is no type",
    "a lone surrogate where there is no type",
    "arrays 100,000 deep where there is no type",
    "objects 100,000 deep",
    "depth without an end",
)
_CONNECTION = "client/test_connection.py::test_"
_COMMANDS = "cli/test_commands.py::test_"
_DELIVERIES, _FAULTS, _ORDER = "e2e/test_deliveries.py::test_", "e2e/test_faults.py::test_", "e2e/test_order.py::test_"
_ROLES, _SHUTDOWN, _STAGES = "e2e/test_roles.py::test_", "e2e/test_shutdown.py::test_", "e2e/test_stages.py::test_"
_READY, _WAIT, _RUN = "e2e/test_ready.py::test_", "e2e/test_wait.py::test_", "run/test_run.py::test_"

LEAST: Mapping[str, str] = {
    f"{_COMMANDS}dead_letters": "append:readings,read:dead/readings,redrive:readings",
    f"{_COMMANDS}models": "read:models/double,register:double,alias:double",
    f"{_COMMANDS}tail": "append:readings,read:readings",
    f"{_COMMANDS}topics_and_groups": (
        "read:readings,read:features,read:doubles,read:penstock.dead,read:penstock.system,read:penstock.snapshots"
    ),
    "cli/test_backup.py::test_a_copy_taken_while_events_come_in_is_whole": "append:readings,read:readings,read:doubles",
    "cli/test_domains.py::test_a_domain_is_published_to_listed_and_tailed": (
        "append:loose/acme,append:loose/beta,read:loose,read:loose/*"
    ),
    "cli/test_scale.py::test_of_a_real_server": "append:readings,look:health",
    f"{_CONNECTION}a_domain_is_published_to_and_read_by_its_topics": (
        "append:tx,append:tx/acme,append:tx/beta,read:tx/*,read:other/*"
    ),
    f"{_CONNECTION}tail_follows": "append:readings,read:readings",
    f"{_CONNECTION}types_and_readiness": "read:readings,look:health",
    _REFUSED: f"append:readings,{_BAD}",
    **{f"{_REFUSED}[{name}]": f"append:notes,{_BAD}" for name in _NOTES},
    f"{_REFUSED}[an unknown topic]": f"append:reading,{_BAD}",
    f"{_REFUSED}[a topic of ours]": f"append:penstock.system,{_BAD}",
    "e2e/test_bad_input.py::test_an_empty_batch_is_accepted_and_stores_nothing": f"append:readings,{_BAD}",
    "e2e/test_bad_input.py::test_two_runs_on_one_directory": f"{_BAD},look:health",
    "e2e/test_bad_input.py::test_what_is_good_is_stored_after_all_that": "append:readings,read:readings",
    f"{_DELIVERIES}a_courier_that_sends_no_more_is_started_again": "append:numbers",
    f"{_DELIVERIES}an_endpoint_that_takes_nothing_is_disabled_and_goes_on_from_its_place": (
        "append:numbers,read:subscriptions/flaky,steer:flaky,look:health"
    ),
    f"{_DELIVERIES}events_are_delivered_signed_and_filtered": "append:numbers,read:copies,read:dead/numbers",
    f"{_DELIVERIES}nothing_is_lost_when_processes_are_killed": "append:numbers,read:dead/numbers",
    f"{_DELIVERIES}what_a_receiver_refuses_is_dead_and_goes_to_it_alone_when_put_back": (
        "append:numbers,read:dead/numbers,redrive:numbers"
    ),
    "e2e/test_descriptors.py::test_a_crowd_takes_no_file_that_others_need": f"{_STEPS},look:health",
    "e2e/test_descriptors.py::test_a_low_soft_limit_is_raised": "look:health",
    "e2e/test_destinations.py::test_events_are_records_of_a_topic_of_kafka": "append:numbers,read:dead/numbers",
    f"{_FAULTS}a_row_that_ends_the_worker_is_isolated": "append:numbers,read:dead/numbers,read:copies",
    f"{_FAULTS}a_worker_that_stood_still_is_fenced": _STEPS,
    f"{_FAULTS}each_acknowledgement_comes_after_its_fsync": "append:steps",
    f"{_FAULTS}one_that_stands_still_is_replaced": "append:steps,read:copies",
    "e2e/test_files_gone.py::test_nothing_is_acknowledged_into_files_that_are_gone": "append:steps",
    "e2e/test_flights.py::test_each_departure_is_predicted_once": (
        "append:departures,read:departures,read:delays,register:delay,alias:delay,read:models/delay"
    ),
    "e2e/test_flights.py::test_nothing_is_lost_or_doubled_under_kills": (
        "append:departures,read:departures,read:delays,register:delay,alias:delay,read:models/delay"
    ),
    "e2e/test_full_disk.py::test_a_full_disk_refuses_and_loses_nothing": f"{_STEPS},look:health",
    "e2e/test_hosts.py::test_hosts_that_come_and_go_lose_and_double_nothing": f"{_STEPS},look:health",
    "e2e/test_large.py::test_large_events_on_kafka[texts]": ("append:texts,read:copies,read:penstock.dead,look:health"),
    "e2e/test_large.py::test_large_events_on_kafka[batches]": (
        "append:batches,read:copies,read:penstock.dead,look:health"
    ),
    "e2e/test_migrate.py::test_each_event_is_scored_once_across_the_move": (
        "append:readings,read:doubles,read:readings,read:features,read:models/double"
    ),
    f"{_ORDER}a_slow_group_holds_up_no_other": f"{_STEPS},read:late",
    f"{_ORDER}order_per_key_holds_across_kills": _STEPS,
    f"{_ORDER}the_look_at_the_order_notices_two_steps_swapped": _STEPS,
    "e2e/test_ordered.py::test_records_of_a_topic_of_kafka_have_the_order_of_their_key": "append:moves",
    "e2e/test_ordered.py::test_the_order_of_a_key_holds_when_couriers_are_killed": (
        "append:moves,read:dead/moves,read:subscriptions/flaky,redrive:moves"
    ),
    "e2e/test_probes.py::test_a_run_says_how_it_is_from_its_first_moment_to_its_last": "append:rows,look:health",
    f"{_READY}a_model_without_a_version_is_told_with_what_to_do": "look:health",
    f"{_READY}a_resource_that_raises_at_start_is_told_by_line_and_tried_again": "look:health",
    f"{_READY}the_first_request_at_ready_is_answered_with_its_score": "append:payments,read:scores",
    "e2e/test_redrive.py::test_two_workers_share_the_source_evenly_and_the_dead_letters_beside_it": (
        "append:orders,read:orders,read:penstock.dead,read:dead/orders,redrive:orders"
    ),
    "e2e/test_redrive.py::test_what_is_put_back_is_dealt_with_once_whatever_is_killed": (
        "append:orders,read:dead/orders,redrive:orders"
    ),
    "e2e/test_registry.py::test_a_file_over_the_limit_is_refused_before_it_is_sent": "register:double",
    "e2e/test_registry.py::test_a_model_that_loops_keeps_nobody_waiting": (
        "register:double,alias:double,read:models/double"
    ),
    f"{_ROLES}doors_and_stages_apart_answer_as_one": "append:payments,read:scores,look:health",
    f"{_ROLES}workers_go_from_one_to_five_and_back_with_the_backlog": "append:steps,read:steps",
    "e2e/test_run_time.py::test_a_tenant_that_comes_is_delivered_to_and_one_that_goes_is_not": (
        "append:numbers,append:onboarded,read:numbers,read:penstock.system,read:subscriptions/acme-numbers,"
        "read:subscriptions/by-hand,subscribe:acme-numbers,subscribe:by-hand"
    ),
    "e2e/test_scalable_ingestion.py::test_on_one_machine": "append:departures,read:departures",
    f"{_SHUTDOWN}a_call_that_does_not_end_is_ended": "append:steps,read:late",
    f"{_SHUTDOWN}a_request_under_way_is_answered": "append:steps,read:late",
    f"{_SHUTDOWN}what_is_in_hand_is_committed": "append:steps",
    "e2e/test_slots.py::test_the_next_in_the_slot_ends_it": _STEPS,
    f"{_STAGES}a_dependency_that_is_away_costs_nothing_and_says_why": (
        "append:numbers,read:stored,read:others,read:penstock.dead,look:health"
    ),
    f"{_STAGES}a_failed_fsync_ends_the_worker_and_loses_nothing": "append:numbers,read:stored,read:others",
    f"{_STAGES}exactly_the_poison_is_dead_and_all_else_is_made_once": (
        "append:numbers,read:ones,read:awaits,read:lists,read:events,read:frames,read:arrows,read:penstock.dead,"
        "look:health"
    ),
    f"{_STAGES}no_model_disturbs_another_or_any_good_row": (
        "append:rows,read:raises-out,read:exits-out,read:loops-out,read:counts-out,read:nan-out,read:prints-out,"
        "read:penstock.dead,look:health"
    ),
    "e2e/test_tls.py::test_doors_in_tls_and_probes_in_plain": "append:rows,read:rows",
    "e2e/test_told.py::test_a_model_that_is_refused_at_start_is_told": "look:health",
    "e2e/test_told.py::test_dead_letters_deaths_and_what_the_code_logs": "append:rows,look:health",
    f"{_WAIT}a_timeout_says_what_was_accepted_and_what_there_is": "append:orders,read:made,read:orders",
    f"{_WAIT}rows_that_come_to_nothing_are_not_waited_for": "append:orders,read:made,read:penstock.dead",
    f"{_WAIT}stopping_answers_those_who_wait": "append:orders,read:made,read:orders",
    f"{_WAIT}the_answer_carries_what_every_worker_made_of_these_events_and_no_others": (
        "append:orders,read:made,read:checked"
    ),
    f"{_WAIT}the_answer_comes_although_what_makes_it_is_killed": "append:orders,read:made,read:orders",
    f"{_WAIT}who_waits_at_a_killed_gateway_asks_again_and_gets_the_rows": "append:once,read:made,read:once",
    "examples/test_quickstart.py::test_a_payment_is_scored_in_the_answer_to_its_publishing": (
        "append:payments,read:scores"
    ),
    f"{_RUN}a_new_version_takes_over": "append:readings,read:doubles,register:double,alias:double",
    f"{_RUN}events_in_predictions_out": (
        "append:readings,read:readings,read:features,read:doubles,look:health,read:models/double,score:double"
    ),
    f"{_RUN}functions_and_models_run_without_pandas": "append:readings,read:doubles",
    f"{_RUN}metrics_of_all_processes": "append:readings,look:health",
    f"{_RUN}nothing_is_lost_or_doubled_while_processes_are_killed": "append:readings,read:doubles",
    f"{_RUN}stopping_drains_and_leaves_nobody_behind": "append:readings,read:doubles",
}
"""The rights of each test that is run so, by its file and name, and by what it is parametrized with where that takes
others."""

SOME: frozenset[str] = frozenset(
    {
        f"{_CONNECTION}a_domain_is_published_to_and_read_by_its_topics",
        f"{_DELIVERIES}an_endpoint_that_takes_nothing_is_disabled_and_goes_on_from_its_place",
        f"{_DELIVERIES}events_are_delivered_signed_and_filtered",
        f"{_DELIVERIES}what_a_receiver_refuses_is_dead_and_goes_to_it_alone_when_put_back",
        f"{_WAIT}the_answer_carries_what_every_worker_made_of_these_events_and_no_others",
        f"{_WAIT}rows_that_come_to_nothing_are_not_waited_for",
        f"{_WAIT}who_waits_at_a_killed_gateway_asks_again_and_gets_the_rows",
        "e2e/test_redrive.py::test_two_workers_share_the_source_evenly_and_the_dead_letters_beside_it",
        "e2e/test_registry.py::test_a_model_that_loops_keeps_nobody_waiting",
        "e2e/test_run_time.py::test_a_tenant_that_comes_is_delivered_to_and_one_that_goes_is_not",
        f"{_RUN}events_in_predictions_out",
        f"{_RUN}metrics_of_all_processes",
        f"{_RUN}a_new_version_takes_over",
    }
)
"""Those of ``make test``: every verb, and every kind of thing that rights are about. A start takes seconds."""

WITHOUT: Mapping[str, str] = {
    "*::test_mutant_*": "a bug planted in the way that the test beside it takes",
    "e2e/test_access.py::*": "it makes the keys that it is about",
    "e2e/test_bad_input.py::test_a_bo*": "it writes to a socket",
    "e2e/test_bad_input.py::test_a_broken_*": "nothing starts",
    "e2e/test_bad_input.py::test_a_d*": "nothing starts",
    "e2e/test_bad_input.py::test_a_model_*": "a command asks, in a process of its own",
    "e2e/test_bad_input.py::test_a_port_in_use": "it asks for nothing",
    "e2e/test_bad_input.py::test_an_a*": "nothing starts",
    "e2e/test_bad_input.py::test_the_*": "it asks for nothing",
    "e2e/test_brokers.py::*": "it is for `make soak`",
    "e2e/test_calls_home.py::*": "its run is traced, and started by itself",
    "e2e/test_catching.py::*": "`penstock dev` wants no keys",
    "e2e/test_clocks.py::*": "its clocks jump over the day that a key expires",
    "e2e/test_connections.py::*": "its connections are not HTTP",
    "e2e/test_dedupe.py::*": "it asks at another address, that loses answers",
    "e2e/test_descriptors.py::test_with_too_few_*": "nothing starts",
    "e2e/test_destinations.py::test_events_are_of_another_*": "a courier asks, of another app",
    "e2e/test_deliveries.py::test_nothing_is_lost_under_*": "it is for `make soak`",
    "e2e/test_docs.py::test_every_*": "it asks at every door, and for the keys",
    "e2e/test_docs.py::test_the_*": "it asks for pages, which are for anybody",
    "e2e/test_doors.py::*": "it makes the keys that it is about",
    "e2e/test_faults.py::test_a_failed_fsync_*": "it counts what is written to the disk, and keys are",
    "e2e/test_faults.py::test_a_worker_that_stood_still_for_*": "it is for `make soak`",
    "e2e/test_faults.py::test_every_role_*": "it publishes before anything starts",
    "e2e/test_files_gone.py::test_files_*": "it asks for nothing",
    "e2e/test_flights.py::test_a_hundred_*": "it is for `make soak`",
    "e2e/test_hosts.py::test_a_model_*": "it is for `make soak`",
    "e2e/test_hosts.py::test_many_*": "it is for `make soak`",
    "e2e/test_image.py::*": "its run is in a container",
    "e2e/test_order.py::test_a_million_*": "it is for `make soak`",
    "e2e/test_read_only.py::*": "its run is in a room of its own, with its data",
    "e2e/test_ready.py::test_a_variable_*": "it asks for nothing",
    "e2e/test_ready.py::test_ready_*": "it asks for nothing",
    "e2e/test_ready.py::test_twenty_*": "it is for `make soak`",
    "e2e/test_rights.py::*": "it is about rights that brokers give",
    "e2e/test_roles.py::test_doors_alone_*": "a command asks, in a process of its own",
    "e2e/test_scalable_ingestion.py::test_as_on_*": "a plain Kafka client publishes, as on Event Hubs",
    "e2e/test_scalable_ingestion.py::test_on_kafka_*": "a plain Kafka client publishes",
    "e2e/test_throttled.py::*": "it is for `make soak`",
    "e2e/test_tls.py::test_webhooks_*": "`penstock dev` wants no keys",
    "e2e/test_told.py::test_a_model_that_was_*": "`penstock dev` wants no keys",
    "e2e/test_told.py::test_a_trust_*": "nothing starts",
    "e2e/test_told.py::test_in_dev_*": "`penstock dev` wants no keys",
    "run/test_run.py::test_a_child_*": "it asks for nothing",
    "run/test_run.py::test_a_killed_*": "it asks for nothing",
    "run/test_run.py::test_a_port_*": "it asks for nothing",
    "run/test_run.py::test_a_second_*": "it asks for nothing",
    "run/test_run.py::test_what_*": "it asks for nothing",
}
"""Why the others of ``tests/e2e`` and ``tests/run/test_run.py`` are not: by patterns of file and name."""
