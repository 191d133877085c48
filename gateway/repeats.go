package gateway

import "github.com/vektah/gqlparser/v2/ast"

// withoutRepeats leaves out what a selection set says again in the same words.
// That changes no answer, and validation takes time that grows with the square
// of the fields of one key.
func withoutRepeats(set ast.SelectionSet) ast.SelectionSet {
	if len(set) == 0 {
		return set
	}
	said := make(map[string]bool, len(set))
	kept := set[:0]
	for _, selection := range set {
		switch x := selection.(type) {
		case *ast.Field:
			x.SelectionSet = withoutRepeats(x.SelectionSet)
			if len(x.SelectionSet)+len(x.Arguments)+len(x.Directives) > 0 {
				break
			}
			if said[x.Alias+":"+x.Name] {
				continue
			}
			said[x.Alias+":"+x.Name] = true
		case *ast.InlineFragment:
			x.SelectionSet = withoutRepeats(x.SelectionSet)
		case *ast.FragmentSpread:
			if len(x.Directives) > 0 {
				break
			}
			if said["..."+x.Name] {
				continue
			}
			said["..."+x.Name] = true
		}
		kept = append(kept, selection)
	}
	return kept
}
