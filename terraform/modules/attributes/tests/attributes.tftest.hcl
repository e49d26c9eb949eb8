run "takes_what_is_known" {
  command = plan

  variables {
    objects = [
      { of = "Tenant acme", given = ["cidrs"], known = ["cidrs", "grants"] },
      { of = "Tenant globex", given = [], known = [] },
    ]
  }

  assert {
    condition     = output.known
    error_message = "Known attributes are refused."
  }
}

run "refuses_what_is_not" {
  command = plan

  variables {
    objects = [{ of = "Tenant acme", given = ["cidr", "grants"], known = ["cidrs", "grants"] }]
  }

  expect_failures = [output.known]
}

run "refuses_all_where_nothing_is_known" {
  command = plan

  variables {
    objects = [{ of = "Tenant acme", given = ["x"], known = [] }]
  }

  expect_failures = [output.known]
}

run "names_the_nearest" {
  command = plan

  variables {
    objects = [{ of = "Tenant acme", given = ["cidrs"], known = ["cidrs"] }]
  }

  assert {
    condition     = length(local.faults) == 0
    error_message = "A known attribute has a fault: ${join("; ", local.faults)}"
  }
}
