// Package trust says who is who: a site's certificate authority, the
// certificates of its nodes, and tokens. It opens no connection and starts no
// goroutine; what it makes are tls.Configs, files and short texts.
//
// What it promises:
//
//   - A certificate speaks for exactly one Subject, and only the Subject counts:
//     no host name makes a node, and no common name a client. Whoever verifies
//     a peer with a Keeper has checked the chain, the dates, the use, the site
//     and the role, and the error says which of them was wrong.
//   - Renewal needs no restart. A Keeper is asked in each handshake; connections
//     that exist live on. Sessions are not resumed, so a handshake is always
//     judged by the authority of now.
//   - What Store wrote can be loaded after a crash at any point: a key and its
//     certificate are one file, and are replaced in one step.
//   - A token's secret is seen only in Token.Text: nothing prints or encodes it
//     by mistake.
//
// # Certificates of an operator's own authority
//
// A node's certificate, whoever signs it, carries one URI among its subject
// alternative names:
//
//	catalyst://SITE/node/ID
//
// SITE and ID are the node's --site and --id: 1 to 64 of [A-Za-z0-9._-], a
// letter or digit first. Its extended key usage allows serverAuth and
// clientAuth (or it has none). Its DNS names and addresses matter to clients
// that verify host names, not to nodes. A client's certificate carries
// catalyst://SITE/client/NAME, and clientAuth.
package trust
