"""Every bound of the system. A full queue refuses or drops and counts; nothing here grows without end."""

from mpreg_core.units import KIB, MIB, NS_PER_S

WIRE_VERSION = 1

# frames
FRAME_BYTES_MAX = 1 * MIB  # one frame on a stream, envelope included
DATAGRAM_BYTES_MAX = 1200  # one frame in a datagram: under every path MTU of the internet
ITEM_BYTES_MAX = 256 * KIB  # one gossip item's payload
REQUEST_BYTES_MAX = 512 * KIB  # one request's or reply's payload

# names and records
TAGS_MAX = 16
TAG_BYTES_MAX = 128
SERVICES_PER_CLUSTER_MAX = 128
SUBSCRIPTIONS_MAX = 100_000  # at one node
INTEREST_PATTERNS_MAX = 64  # that a node's record names; more go into a filter
INTEREST_GROUPS_MAX = 256  # queue groups in a node's record
LEASE_S_MIN = 1.0  # a shorter life of a key is within what gossip takes
LEASE_S_MAX = 30 * 86_400.0
KEY_BYTES_MAX = 512

# a node
POOLS_MAX = 4
WIRING_ROUNDS_MAX = 16  # rounds of Emit between sibling machines in one step
EVENTS_PER_STEP_MAX = 10_000
DROP_EVENTS_PER_S = 1  # one FrameDropped event a second and reason; the counter has them all

# membership
MEMBERS_PER_POOL_MAX = 20_000
WELCOME_MEMBERS_MAX = 2_000  # member records in one Welcome; anti-entropy brings the rest
INCARNATION_STEP_MAX = 1 << 20  # a record may not claim to be further ahead than this
REAP_AFTER_NS = 24 * 3600 * NS_PER_S  # failed and left members are forgotten after this
SIBLING_HUBS_MAX = 16  # other hubs of its tier that a hub names to its children
SUMMARY_IDS_MAX = 2_000  # node and cluster ids in one hub's summary
SUMMARY_SERVICES_MAX = 4_096

# requests
HOPS_MAX = 8
REQUESTS_PENDING_MAX = 10_000
REQUEST_TIMEOUT_S_MAX = 300.0
DEDUPE_IDS_MAX = 65_536

# clients
CLIENTS_MAX = 4_096
CLIENT_SUBSCRIPTIONS_MAX = 1_024  # of one client
CLIENT_CALLS_MAX = 1_000  # handlers that run at once in one client

# gossip and state
MESSAGE_BYTES_MAX = 128 * KIB  # one published message
BODY_BYTES_MAX = 64 * MIB  # of one request, sent in parts
BODIES_OPEN_MAX = 64  # at one server
CUSTODY_MESSAGES_MAX = 10_000  # that are to arrive at least once and were not taken on by the next node
CUSTODY_BYTES_MAX = 32 * MIB
CUSTODY_S_MAX = 600  # then one is given up
SEEN_ITEMS_MAX = 65_536
STATE_KEYS_MAX = 1_000_000
STATE_HISTORY_MAX = 10_000
PROPOSALS_MAX = 1_000

# driver
OUTBOX_BYTES_MAX = 8 * MIB  # waiting for one peer, all lanes
OUTBOX_PEERS_MAX = 20_000
EVENT_QUEUE_MAX = 10_000  # per observer
JOURNAL_SEGMENT_BYTES = 16 * MIB

# configuration and HTTP
CONFIG_BYTES_MAX = 1 * MIB
CONFIG_DEPTH_MAX = 32
HTTP_BODY_BYTES_MAX = 1 * MIB
