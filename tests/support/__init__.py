"""What several tests share: projects, servers, registries and models, made small."""
