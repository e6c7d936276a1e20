"""Prefect's own scheduler makes the runs that a schedule asks for, with the libraries that are locked here."""

import pytest
from mlflow_server import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_schedule_makes_runs(prefect_server):
    """SQLAlchemy 2.1 refuses the scheduler's INSERT: the server answers, takes every schedule, and starts nothing."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    with prefect_server.client() as client:
        nightly = DeploymentScheduleCreate(schedule=CronSchedule(cron="30 1 * * *"))
        deployment = client.create_deployment(client.create_flow_from_name("sleeper"), "night", schedules=[nightly])
        wait_until(lambda: any(run.deployment_id == deployment for run in client.read_flow_runs()), "a scheduled run")
        client.delete_deployment(deployment)
