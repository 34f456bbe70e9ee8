"""RedisInstance: configuration, persistence, ACL users and replication."""
