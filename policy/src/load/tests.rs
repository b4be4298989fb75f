// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

#[test]
fn smoke() {
    for text in [
        "kind: [",
        "a: 1\na: 2\n",
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: X}\nspec:\n  sellector: 'a'\n  ingress:\n  - action: Alow\n    source: {nets: []}\n  - action: Allow\n    protocol: tpc\n    destination: {ports: [http, 1, 70000, '1:2']}\n",
    ] {
        for e in parse("x.yaml", text).unwrap_err() {
            println!("{e}");
        }
    }
}
