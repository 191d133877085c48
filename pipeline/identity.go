package pipeline

// Role is what an identity may do. The zero Role may do the least.
type Role int

const (
	Viewer   Role = iota // reads
	Operator             // also registers, changes and removes services
	Admin                // also configures peers and the site's members
	Peer                 // another site: only its own routes, only over iBGP
)

func (r Role) String() string {
	switch r {
	case Viewer:
		return "viewer"
	case Operator:
		return "operator"
	case Admin:
		return "admin"
	case Peer:
		return "peer"
	default:
		return "unknown role"
	}
}

// Identity is who sent an action. The edge vouches for it.
type Identity struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	Site string `json:"site,omitempty"` // of a Peer: the site it speaks for

	Unasked bool `json:"unasked,omitempty"` // it showed nothing, as its node knew of no tokens
}
