# A Vault Agent for acme: it logs in by AppRole and keeps a fresh access token in a file.
vault {
  address = "https://vault.example.com:8200"
}

auto_auth {
  method "approle" {
    mount_path  = "auth/approle"
    min_backoff = "1s"
    max_backoff = "10s" # else a customer waits up to five minutes after an outage of Vault
    config = {
      role_id_file_path   = "/etc/postern-agent/role-id"
      secret_id_file_path = "/etc/postern-agent/secret-id"

      # The Agent's default is true: it then can't log in after a restart. The file is read again at each login, so that a secret_id is
      # rotated by writing a new one into it.
      remove_secret_id_file_after_reading = false
    }
  }
}

template {
  contents             = "{{ with secret \"auth0/creds/acme\" }}{{ .Data.access_token }}{{ end }}"
  destination          = "/run/postern-agent/token"
  perms                = "0600"
  error_on_missing_key = true # rather the old token than <no value>
}
