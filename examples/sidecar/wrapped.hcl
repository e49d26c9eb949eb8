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

      # The file holds a wrapping token that opens once; the Agent checks where it was made, and deletes the file. After a restart of the
      # Agent somebody must bring another.
      secret_id_response_wrapping_path    = "auth/approle/role/acme/secret-id"
      remove_secret_id_file_after_reading = true
    }
  }
}

template {
  contents             = "{{ with secret \"auth0/creds/acme\" }}{{ .Data.access_token }}{{ end }}"
  destination          = "/run/postern-agent/token"
  perms                = "0600"
  error_on_missing_key = true # rather the old token than <no value>
}
