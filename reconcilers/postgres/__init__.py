"""PostgresCluster: members, replication, databases, roles and the pooler."""
