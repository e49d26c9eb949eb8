variable "objects" {
  description = "What to compare: `of` says whose attributes they are, `given` has their names as they were written, `known` those that there are."
  type        = list(object({ of = string, given = list(string), known = list(string) }))
  nullable    = false
}
