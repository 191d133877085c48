package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// configuration is the argument of updateConfig (contract, section 6). Fence is
// of leaders that have terms.
type configuration struct {
	Services *[]Service `json:"services"`
	Fence    *Fence     `json:"fence"`
}

// verdict is the answer of updateConfig. Success is that the list was accepted:
// each service is then served as soon as it can be, and Services says how far
// that is, as of Revision.
type verdict struct {
	Success  bool             `json:"success"`
	Error    string           `json:"error,omitempty"`
	Code     string           `json:"code,omitempty"` // codeFenced, where that is why
	Services *[]ServiceStatus `json:"services,omitempty"`
	Revision uint64           `json:"revision,omitempty"`
}

// codeFenced is the code of a refusal that is about who sent the list, not
// about what is in it.
const codeFenced = "fenced"

// serveAPI serves Cap'n Web: a WebSocket as long as it lasts, or a batch.
func (g *Gateway) serveAPI(w http.ResponseWriter, r *http.Request) {
	if !g.authorise(w, r) {
		return
	}
	cfg := transport.Config{Log: g.log, Limits: transport.Limits{Calls: 64, Exports: 1024, Imports: 1024}}
	options := ws.Options{Hosts: g.cfg.Hosts, Origins: g.cfg.Origins}
	if !isUpgrade(r) {
		if err := options.Allow(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		cfg.Main = g.api(nil)
		transport.ServeBatch(w, r, cfg)
		return
	}
	conn, err := ws.Accept(w, r, options)
	if err != nil {
		g.log.Debug("a WebSocket was refused", "err", err)
		return
	}
	watchers := watchers{g: g}
	defer watchers.wg.Wait()
	cfg.Main = g.api(&watchers)
	_ = transport.NewSession(conn, cfg).Run(r.Context()) // how a client leaves is its own matter
}

// api is the main object of a session. Without watchers nothing can be called
// back over it.
func (g *Gateway) api(w *watchers) *transport.Target {
	methods := map[string]transport.Method{
		"updateConfig": transport.Method2(g.updateConfig),
		"status":       transport.Method0(func(context.Context) (Status, error) { return g.Status().told(), nil }),
	}
	if w != nil {
		methods["watchStatus"] = w.watchStatus
	}
	return transport.NewTarget(methods)
}

// updateConfig takes the fence within the list or beside it.
func (g *Gateway) updateConfig(ctx context.Context, c configuration, fence *Fence) (verdict, error) {
	if c.Services == nil {
		return verdict{Error: "services: want a list"}, nil
	}
	if fence == nil {
		fence = c.Fence
	}
	status, err := g.Update(ctx, *c.Services, fence)
	switch {
	case errors.Is(err, ErrFenced):
		return verdict{Error: err.Error(), Code: codeFenced}, nil
	case err != nil:
		return verdict{Error: err.Error()}, nil
	}
	status = status.told()
	return verdict{Success: true, Services: &status.Services, Revision: status.Revision}, nil
}
