//! What the application's own role may do to the log: add and read. Postgres itself refuses the rest.

use fleet_api::store::{audit_entries, grants};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};

use crate::{
    audit::{checkpoint, entries},
    support::TestApi,
};

/// A role as `up` makes it for the API, in a connection of its own.
struct Role {
    name: String,
    db: PgConnection,
    owner: PgPool,
}

impl Role {
    async fn new(owner: &PgPool) -> Self {
        // Roles belong to the cluster, which other tests use at the same time.
        let name = format!("app_{:016x}", rand::random::<u64>());
        let make = format!("create role {name} login password '{name}'");
        sqlx::query(AssertSqlSafe(make)).execute(owner).await.unwrap();
        grants::give(owner, &name).await.unwrap();
        let options = owner.connect_options().as_ref().clone().username(&name).password(&name);
        Self { name, db: options.connect().await.unwrap(), owner: owner.clone() }
    }

    async fn refused(&mut self, statement: &str) {
        let tried = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut self.db).await;
        let error = tried.expect_err(statement);
        let error = error.as_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("42501"), "{statement}: {error}");
        // Not by a trigger of ours, which the table's owner could switch off: by Postgres.
        let by_postgres =
            ["permission denied for table", "must be owner of", "permission denied for function"];
        assert!(by_postgres.iter().any(|text| error.message().starts_with(text)), "{statement}: {error}");
    }

    async fn end(self) {
        self.db.close().await.unwrap();
        for statement in ["drop owned by", "drop role"] {
            let statement = format!("{statement} {}", self.name);
            sqlx::query(AssertSqlSafe(statement)).execute(&self.owner).await.unwrap();
        }
    }
}

const APPEND_ONLY: [&str; 6] =
    ["audit_entries", "audit_chain", "audit_checkpoints", "change_steps", "observations", "upload_seals"];

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn postgres_lets_the_application_add_to_the_log_and_read_it_and_nothing_else(db: PgPool) {
    let api = TestApi::new(db).await;
    entries(&api, 3).await;
    api.chain().await;
    checkpoint(&api).await;
    let mut role = Role::new(&api.db).await;

    for table in APPEND_ONLY {
        let column = match table {
            "audit_entries" => "actor = 'x'",
            "audit_chain" | "audit_checkpoints" => "hash = '\\x00'",
            "upload_seals" => "leaf = '\\x00'",
            _ => "clock = 'synced'",
        };
        role.refused(&format!("update {table} set {column}")).await;
        role.refused(&format!("delete from {table}")).await;
        role.refused(&format!("truncate {table}")).await;
        role.refused(&format!("alter table {table} disable trigger all")).await;
        role.refused(&format!("drop table {table}")).await;
        let count = sqlx::query(AssertSqlSafe(format!("select count(*) from {table}")));
        count.execute(&mut role.db).await.unwrap();
    }
    // Nor past the parents, at the partitions.
    for partition in ["audit_entries_1", "audit_chain_1", "audit_chain_1000001"] {
        role.refused(&format!("delete from {partition}")).await;
        role.refused(&format!("insert into {partition} select * from {partition}")).await;
    }
    role.refused("delete from audit_partitions").await;
    role.refused("update _sqlx_migrations set success = true").await;

    let by = fleet_api::fleet::actor::Actor::system();
    let entry = fleet_api::fleet::audit::Entry::new(api.fleet.clock().now(), &by, "test.happened");
    audit_entries::add(&mut role.db, &entry).await.unwrap();
    role.end().await;
    assert_eq!(api.chain().await, 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_api_does_its_work_with_no_more_than_the_applications_rights(db: PgPool) {
    let role = Role::new(&db).await;
    let options = db.connect_options().as_ref().clone().username(&role.name).password(&role.name);
    let pool = PgPool::connect_with(options).await.unwrap();
    {
        let api = TestApi::new(pool.clone()).await;
        api.register("tenpo-0042").await;
        let token = api.session("tenpo-0042", "box-token").await;
        let rx = crate::support::Upload { thing: "tenpo-0042", path: "a", content: b"x", sequence: 1 };
        rx.send(&api, &token).await.expect(201);
        let change = api.wish("tenpo-0042", "192.168.10.9/24", serde_json::json!({})).await;
        api.dispatch().await;
        assert_eq!(api.state(&change).await, "sent");
        api.chain().await;
        fleet_api::fleet::audit::seal::pass(&api.fleet).await.unwrap();
        checkpoint(&api).await;
        let kept = fleet_api::fleet::audit::keeping::keep(&api.fleet, 500_000).await.unwrap();
        assert_eq!(kept.dropped, None);
        api.get("/v1/audit/verify").await.expect(200);
    }
    pool.close().await;
    role.end().await;
}
