package clustertests

import "encoding/json"

// The shapes of the public contract that these tests read. Written from its text, not from the program.
type (
	dataChannel struct {
		Name     string            `json:"name"`
		Endpoint string            `json:"endpoint"`
		Protocol string            `json:"protocol"`
		Region   string            `json:"region,omitempty"`
		Tags     map[string]string `json:"tags,omitempty"`
	}
	action struct {
		Resource  string `json:"resource"`
		Action    string `json:"action"`
		Data      any    `json:"data"`
		RequestID string `json:"requestId,omitempty"`
	}
	result struct {
		Success bool   `json:"success"`
		Code    string `json:"code"`
		Error   string `json:"error"`
		Data    struct {
			ID      string `json:"id"`
			Gateway *struct {
				State    string   `json:"state"`
				Error    string   `json:"error"`
				Queries  []string `json:"queries"`
				Warnings []string `json:"warnings"`
			} `json:"gateway"`
		} `json:"data"`
		Index uint64 `json:"index"`
	}
	query struct {
		Consistency string `json:"consistency,omitempty"`
		MinIndex    uint64 `json:"minIndex,omitempty"`
		Name        string `json:"name,omitempty"`
		Protocol    string `json:"protocol,omitempty"`
	}
	route struct {
		ID            string      `json:"id"`
		Service       dataChannel `json:"service"`
		Site          string      `json:"site"`
		Source        string      `json:"source"`
		Peer          string      `json:"peer"`
		Path          []string    `json:"path"`
		Best          bool        `json:"best"`
		Stale         bool        `json:"stale"`
		CreatedAt     int64       `json:"createdAt"`
		ModifiedAt    int64       `json:"modifiedAt"`
		CreatedIndex  uint64      `json:"createdIndex"`
		ModifiedIndex uint64      `json:"modifiedIndex"`
	}
	routes struct {
		Routes []route `json:"routes"`
		Index  uint64  `json:"index"`
	}
	event struct {
		Type   string  `json:"type"`
		Index  uint64  `json:"index"`
		ID     string  `json:"id"`
		Route  *route  `json:"route"`
		Routes []route `json:"routes"`
	}
	// peerSite is the contract's Peer.
	peerSite struct {
		ID, Site, State, Node, Endpoint, LastError           string
		Configured, Dialled                                  bool
		Endpoints                                            []string
		RoutesIn, RoutesOut, Stale, Resumes, Malformed, Term int
		Healed                                               int     // times that one side had to be told again
		HoldTime                                             float64 // seconds
		RestartTime                                          float64 // seconds
	}
	peerSites struct{ Peers, Collectors []peerSite }
	// peerInfo is how the two sides of a session introduce themselves.
	peerInfo struct {
		Site    string   `json:"site"`
		AS      int      `json:"as"`
		Node    string   `json:"node"`
		Domains []string `json:"domains"`
		Term    int      `json:"term,omitempty"`
		Epoch   string   `json:"epoch,omitempty"`

		HoldTime float64 `json:"holdTime,omitempty"` // seconds
		Resume   any     `json:"resume,omitempty"`
	}
	// announced is the route of an update.
	announced struct {
		ID      string      `json:"id"`
		Service dataChannel `json:"service"`
		Site    string      `json:"site"`
		Path    []string    `json:"path"`
	}
	member struct {
		ID, Role, State, RPC, Raft, Gossip, Version string
	}
	status struct {
		Node, Site, Role, Leader string
		Term, Index              uint64
		Voters, Tolerates        int
		Gateway                  *gatewayStatus
		Peers                    struct{ Established, Configured int }
		Routes                   struct{ Local, Learned int }
		Epoch, Version           string
	}
	gatewayStatus struct {
		Endpoint, State string
		Services        int
		Quarantined     []struct{ ID, Error string }
		Waiting         []struct{ ID, Error string }
		Warnings        []struct{ ID, Warning string }
	}
)

// failure is a rejection as npm's capnweb shows it: Code is a FailureCode of the contract, or empty.
type failure struct {
	Name    string `json:"name"`
	Message string `json:"message"`
	Code    string `json:"code"`
}

func (f *failure) Error() string {
	if f.Code == "" {
		return f.Name + ": " + f.Message
	}
	return f.Name + " (" + f.Code + "): " + f.Message
}

func (r result) String() string { return asJSON(r) }

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func service(name string) dataChannel {
	return dataChannel{Name: name, Endpoint: "http://127.0.0.1:9/" + name, Protocol: "http"}
}

func creation(d dataChannel) action {
	return action{Resource: "dataChannel", Action: "create", Data: d}
}

func deletion(id string) action {
	return action{Resource: "dataChannel", Action: "delete", Data: map[string]string{"id": id}}
}
