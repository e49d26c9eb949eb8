# /etc/postern/agent.hcl, of postern-agent.service: logs in by the identity that this machine has, and keeps the token where the broker
# reads it.
vault {
  address = "https://vault.example.com:8200"
}

auto_auth {
  # A JWT that the platform keeps in a file (SPIFFE, a cloud): the mount and the role that Terraform's broker_jwt makes. In its place any
  # other method whose role has the policy postern-broker: aws, azure, cert, gcp.
  method "jwt" {
    mount_path = "auth/jwt-broker"
    config = {
      path                     = "/run/postern-identity/token"
      role                     = "broker"
      remove_jwt_after_reading = false # else its restart needs a person
    }
  }

  # Neither wrap_ttl nor dh_type: the broker reads it as it is. Its group may.
  sink "file" {
    config = {
      path = "/run/postern/token"
      mode = 0640
    }
  }
}
