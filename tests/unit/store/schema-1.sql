-- A database as schema 1 left it (commit 204777d): its own SQL, with rows that its own code wrote.
BEGIN TRANSACTION;
PRAGMA user_version = 1;
CREATE TABLE events (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL,
    message TEXT NOT NULL, warning INTEGER NOT NULL, count INTEGER NOT NULL, actor TEXT);
INSERT INTO "events" VALUES(1,'2026-11-24T12:00:00+00:00','Service','psa-api-gateway','LiveColorFound','blue has the traffic in api_backend already: it stays live',0,1,NULL);
INSERT INTO "events" VALUES(2,'2026-11-24T12:00:00+00:00','Container','psa-redis','Suspended','work until 2026-11-24T13:00:00Z',0,1,'uid 0');
CREATE TABLE intents (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL,
    action TEXT NOT NULL, target TEXT NOT NULL, summary TEXT NOT NULL, begun_at TEXT NOT NULL,
    deadline REAL NOT NULL, state TEXT NOT NULL, reference TEXT, absent_since TEXT);
INSERT INTO "intents" VALUES(1,'Container','psa-redis',2,'Configure','CT 210 on pve','memory 6144 → 8192 MiB','2026-11-24T12:00:00+00:00',60.0,'running','UPID:pve1:1','2026-11-24T12:01:00+00:00');
INSERT INTO "intents" VALUES(2,'Container','psa-api-gateway-blue',1,'Create','CT 100 on pve','create CT 100','2026-11-24T12:00:00+00:00',900.0,'done',NULL,NULL);
CREATE TABLE objects (
    kind TEXT, name TEXT, uid TEXT NOT NULL, generation INTEGER NOT NULL, spec TEXT NOT NULL,
    created_at TEXT NOT NULL, labels TEXT NOT NULL, annotations TEXT NOT NULL, owner TEXT,
    file TEXT, line INTEGER, lines TEXT NOT NULL, orphaned_since TEXT, observed_generation INTEGER NOT NULL,
    conditions TEXT NOT NULL, status TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID;
INSERT INTO "objects" VALUES('Container','psa-api-gateway-blue','22222222222222222222222222222222',1,'{"adopt":false,"allow":[],"cores":2,"ctid":100,"deletionPolicy":"Retain","dependsOn":[],"disk":"10Gi","endpoint":"pve","hostname":"psa-api-gateway-blue","memory":"4Gi","mode":"Enforce","node":"pve1","shutdownTimeout":"1m","state":"Running","storage":"local","suspend":false,"swap":"0","template":"local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst","unprivileged":true}','2026-11-24T12:00:00+00:00','{"team":"a"}','{"psa.platform/color":"blue","psa.platform/service":"psa-api-gateway","psa.platform/version":"1.0.0"}','Service/psa-api-gateway','services/psa-api-gateway.yaml',3,'{}',NULL,1,'[["Ready","True","AsAsked","","2026-11-24T12:00:00+00:00"],["Synced","True","NoDifference","","2026-11-24T12:00:00+00:00"]]','{"node":"pve1","pending":[],"state":"running"}');
INSERT INTO "objects" VALUES('Container','psa-redis','44444444444444444444444444444444',2,'{"adopt":false,"allow":[],"cores":2,"ctid":210,"deletionPolicy":"Retain","dependsOn":[],"disk":"10Gi","endpoint":"pve","memory":"8Gi","mode":"Enforce","node":"pve1","shutdownTimeout":"1m","state":"Running","storage":"local","suspend":false,"swap":"0","template":"local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst","unprivileged":true}','2026-11-24T12:00:00+00:00','{}','{}',NULL,'data/psa-redis.yaml',1,'{"spec.memory":12}','2026-11-24T13:00:00+00:00',0,'[]',NULL);
INSERT INTO "objects" VALUES('Service','psa-api-gateway','11111111111111111111111111111111',1,'{"adopt":false,"allow":[],"backend":{"endpoint":"edge","name":"api_backend"},"background":"active","colors":{"blue":{"address":"10.0.20.10/24","ctid":100,"node":"pve1","port":3000},"green":{"address":"10.0.20.110/24","ctid":1100,"node":"pve2","port":3001}},"container":{"cores":2,"disk":"10Gi","endpoint":"pve","memory":"4Gi","network":{"bridge":"vmbr1","name":"eth0","vlan":20},"shutdownTimeout":"1m","storage":"local","swap":"0","template":"local:vztmpl/psa-api-gateway_{version}_amd64.tar.zst","unprivileged":true},"deletionPolicy":"Retain","dependsOn":[],"health":{"expect":{},"path":"/health"},"initial":{"color":"blue","version":"1.0.0"},"mode":"Enforce","peers":[],"suspend":false}','2026-11-24T12:00:00+00:00','{"team":"a"}','{}',NULL,'services/psa-api-gateway.yaml',3,'{"spec":5,"spec.backend":6}',NULL,1,'[["Ready","True","AsAsked","","2026-11-24T12:00:00+00:00"],["Synced","True","NoDifference","","2026-11-24T12:00:00+00:00"]]','{"live":"blue","versions":{"blue":"1.0.0"}}');
INSERT INTO "objects" VALUES('TrafficSplit','psa-api-gateway','33333333333333333333333333333333',1,'{"adopt":false,"allow":[],"backend":"api_backend","blue":{"server":"blue","state":"ready","weight":100},"deletionPolicy":"Retain","dependsOn":[],"endpoint":"edge","green":{"server":"green","state":"maint","weight":0},"mode":"Enforce","service":"psa-api-gateway","suspend":false}','2026-11-24T12:00:00+00:00','{}','{"psa.platform/service":"psa-api-gateway"}','Service/psa-api-gateway','services/psa-api-gateway.yaml',3,'{}',NULL,1,'[["Ready","True","AsAsked","","2026-11-24T12:00:00+00:00"],["Synced","True","NoDifference","","2026-11-24T12:00:00+00:00"]]','{"observed":["edge: blue 100 ready, green 0 maint"],"pids":{"edge":4711}}');
CREATE TABLE suspensions (
    kind TEXT, name TEXT, until TEXT, reason TEXT NOT NULL, actor TEXT NOT NULL, PRIMARY KEY (kind, name));
INSERT INTO "suspensions" VALUES('Container','psa-redis','2026-11-24T13:00:00+00:00','work','uid 0');
CREATE TABLE vars (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "vars" VALUES('mode','Observe');
CREATE INDEX open_intents ON intents (state) WHERE state IN ('running', 'unknown');
CREATE INDEX events_of ON events (kind, name, id);
COMMIT;
