"""One Ray for all tests here: starting it takes seconds."""

import pytest

import tests.toys


@pytest.fixture(scope="session", autouse=True)
def two_cpus():
    import ray
    from ray import cloudpickle

    # Workers do not have the test folder on their path.
    cloudpickle.register_pickle_by_value(tests.toys)
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20, logging_level="ERROR"
    )
    yield
    ray.shutdown()
