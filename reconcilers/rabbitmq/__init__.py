"""RabbitMQ: vhosts, users, permissions, exchanges, queues, bindings and policies."""
