output "known" {
  description = "true: every attribute is known."
  value       = true

  precondition {
    condition     = length(local.faults) == 0
    error_message = join("\n", local.faults)
  }
}
