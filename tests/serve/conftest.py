import pytest
import serving

import desta2


@pytest.fixture(scope="session")
def nano():
    return desta2.load("nano")


@pytest.fixture(scope="session")
def address(nano):
    """A server of the nano model, shared by tests that leave it as it was."""
    with serving.served(nano) as address:
        yield address


@pytest.fixture
def client(address):
    return serving.client_of(address)
