# Client assertions (private_key_jwt) that were used, one record each, so that none is taken twice by whichever replica. A record
# is the first of its name or is refused: check-and-set is demanded of every write.
resource "vault_mount" "replay" {
  path        = var.mounts.replay
  type        = "kv"
  options     = { version = "2" }
  description = "Postern: used client assertions"

  depends_on = [vault_audit.postern]
}

resource "vault_generic_endpoint" "replay_config" {
  path                 = "${vault_mount.replay.path}/config"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    cas_required = true
    max_versions = 1
  })

  # The mount is ready by then: see there.
  depends_on = [vault_transit_secret_backend_key.signing]
}
