vault {
  address = "https://vault:8200"
  ca_cert = "/tls/ca.crt"
}

auto_auth {
  method "approle" {
    mount_path = "auth/approle"
    config = {
      role_id_file_path   = "/credential/role-id"
      secret_id_file_path = "/credential/secret-id"
      # Else a restart would need a person.
      remove_secret_id_file_after_reading = false
    }
  }

  sink "file" {
    config = {
      path = "/run/acme/vault-token"
      mode = 0600
    }
  }
}
