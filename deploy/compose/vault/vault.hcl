# One node of Raft. Three of them, on three machines, are a cluster: each with its node_id, and retry_join to the other two.
storage "raft" {
  path    = "/vault/file"
  node_id = "vault"

  # As HashiCorp advises for production: a leader that is gone is noticed in 1 s, not in 5.
  performance_multiplier = 1
}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/tls/vault.crt"
  tls_key_file  = "/tls/vault.key"
}

api_addr     = "https://vault:8200"
cluster_addr = "https://vault:8201"

# Raft maps its files into memory, all of which mlock would keep there. Encrypt the machine's swap instead, or have none.
disable_mlock = true
ui            = true
