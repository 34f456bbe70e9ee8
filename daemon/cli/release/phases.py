"""The phases of an attempt as people read them: their order, and how long each may take."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class Phase(enum.Enum):
    """Where an attempt is, as in crds.release, which would cost ten times the start of psactl."""

    PENDING = "Pending"
    PRE_CHECK = "PreCheck"
    BACKUP = "Backup"
    MIGRATE = "Migrate"
    DEPLOY_CANDIDATE = "DeployCandidate"
    HEALTH_CHECK = "HealthCheck"
    SMOKE = "Smoke"
    SPLIT = "Split"
    WATCH = "Watch"
    PROMOTE = "Promote"
    VERIFY = "Verify"
    SOAK = "Soak"
    COMPLETED = "Completed"
    FAILED = "Failed"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"


#: Nothing that users see has changed yet; the attempt may stop at any time.
PREPARING: Final = (
    Phase.PRE_CHECK,
    Phase.BACKUP,
    Phase.MIGRATE,
    Phase.DEPLOY_CANDIDATE,
    Phase.HEALTH_CHECK,
    Phase.SMOKE,
)
#: The candidate has traffic.
SERVING: Final = (Phase.SPLIT, Phase.WATCH, Phase.PROMOTE, Phase.VERIFY, Phase.SOAK)
#: Both versions have traffic; a first release skips these.
SHARED: Final = frozenset({Phase.SPLIT, Phase.WATCH})
#: The candidate has all traffic.
PROMOTED: Final = frozenset({Phase.PROMOTE, Phase.VERIFY, Phase.SOAK})
BROKEN: Final = frozenset({Phase.FAILED, Phase.ROLLING_BACK, Phase.ROLLED_BACK})
ENDED: Final = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK})

#: Seconds that a phase's own work may take, those with a time of the file's left out.
DEADLINES_S: Final[Mapping[Phase, float]] = MappingProxyType({
    Phase.PRE_CHECK: 600.0,
    Phase.DEPLOY_CANDIDATE: 1800.0,
    Phase.HEALTH_CHECK: 300.0,
    Phase.SMOKE: 300.0,
    Phase.SPLIT: 60.0,
    Phase.PROMOTE: 60.0,
    Phase.VERIFY: 300.0,
})  # fmt: skip
