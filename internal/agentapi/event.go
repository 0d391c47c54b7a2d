package agentapi

import "time"

// EventKind says what an event is about. Kinds are never renamed: scripts compare them.
type EventKind string

// The kinds of events.
const (
	EventAgentStarted    EventKind = "agent-started"
	EventHostJoined      EventKind = "host-joined"
	EventHostLeft        EventKind = "host-left"        // for good, at its own request
	EventHostForgotten   EventKind = "host-forgotten"   // by command, or as it was gone for too long
	EventHostUnreachable EventKind = "host-unreachable" // its agent does not answer
	EventHostBack        EventKind = "host-back"        // it answers again
	EventRepaired        EventKind = "repaired"         // something that was missing or changed on this host
	EventConflictBegan   EventKind = "conflict-began"
	EventConflictEnded   EventKind = "conflict-ended"
	EventDifferenceBegan EventKind = "difference-began" // between how hosts set up a network
	EventDifferenceEnded EventKind = "difference-ended"
	EventKeysChanged     EventKind = "keys-changed"
	EventRotationOverdue EventKind = "rotation-overdue" // of a network's keys: it goes on without some hosts
)

// EventKinds are all of them, in the order of the documentation.
var EventKinds = []EventKind{
	EventAgentStarted, EventHostJoined, EventHostLeft, EventHostForgotten, EventHostUnreachable, EventHostBack,
	EventRepaired, EventConflictBegan, EventConflictEnded, EventDifferenceBegan, EventDifferenceEnded, EventKeysChanged,
	EventRotationOverdue,
}

// The fields of a repair.
const (
	FieldWhat     = "what" // one of the RepairKinds
	FieldObject   = "object"
	FieldNetwork  = "network" // its name
	FieldBy       = "by"      // who removed it; "unknown"
	FieldGoneFor  = "gone_for"
	FieldHost     = "host"    // of an event about another host: its label
	FieldHostID   = "host_id" //
	FieldDetail   = "detail"
	UnknownSender = "unknown"
)

// Event is something that happened on a host.
type Event struct {
	// Sequence counts the events of an agent since it started, from 1.
	Sequence uint64            `json:"sequence"`
	Kind     EventKind         `json:"kind"`
	Code     string            `json:"code,omitempty"` // see `vxlanctl explain`
	Text     string            `json:"text"`
	Fields   map[string]string `json:"fields,omitempty"`
	// Age is how long ago it was. Clocks may jump, and differ between hosts.
	Age time.Duration `json:"age"`
	// Time is the time of day that the host had then, for people.
	Time time.Time `json:"time"`
}

// EventsRequest says which events are wanted.
type EventsRequest struct {
	// Agent is that of the last response. Another agent counts its events anew, and Since is void.
	Agent string `json:"agent,omitempty"`
	Since uint64 `json:"since,omitempty"` // only events with a higher sequence
	// Wait makes the agent wait for so long, but at most MaxEventWait, until there are some.
	Wait time.Duration `json:"wait,omitempty"`
}

// MaxEventWait is how long an agent waits for events.
const MaxEventWait = 30 * time.Second

// EventsReport has an agent's events, the oldest first.
type EventsReport struct {
	Agent  string  `json:"agent"` // another one after each start
	Host   string  `json:"host"`  // its label
	Events []Event `json:"events"`
	// Lost counts the events after Since that the agent no longer has.
	Lost uint64 `json:"lost,omitempty"`
}
