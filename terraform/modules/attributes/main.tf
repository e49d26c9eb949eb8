# Terraform drops what an object's type doesn't name without a word: a misspelled restriction would restrict nothing. So the root module takes
# objects as they are given, its modules say by their types what there is, and here the two are compared.

locals {
  unknown = flatten([
    for one in var.objects : [
      for name in one.given : { of = one.of, name = name, known = one.known } if !contains(one.known, name)
    ]
  ])

  # Pairs of letters that two names share, of all that they have, in thousandths: sorted as text, the nearest comes last.
  nearest = [
    for one in local.unknown : reverse(sort(concat(["0000 "], [
      for known in one.known : format("%04d %s", floor(
        2000 * length(setintersection(local.pairs[one.name], local.pairs[known])) / (length(local.pairs[one.name]) + length(local.pairs[known]))
      ), known)
    ])))[0]
  ]
  pairs = {
    for name in distinct(flatten([for one in local.unknown : [one.name, one.known]])) :
    name => toset([for at in range(max(1, length(name) - 1)) : lower(substr(name, at, 2))])
  }

  faults = [
    for at, one in local.unknown : join("", [
      "${one.of} has no attribute ${one.name}",
      tonumber(substr(local.nearest[at], 0, 4)) >= 350 ? "; is ${substr(local.nearest[at], 5, -1)} meant?" : ".",
      " There are ${join(", ", sort(one.known))}.",
    ])
  ]
}
