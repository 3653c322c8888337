from kernel_size import MOST_PARAMETERS, functions


def test_no_kernel_has_too_many_parameters():
    found = list(functions())
    assert len(found) > 100
    assert [(file, name) for count, file, name in found if count > MOST_PARAMETERS] == []
