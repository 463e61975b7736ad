//! CloudEvents 1.0 in structured mode, JSON: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
//!
//! Owns the attributes. Refuses to know how they are sent.

use serde_json::{Value, json};

use crate::item::Item;

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// An item as a CloudEvent. `source` and the item's id name it in all the world.
pub fn of(item: &Item, source: &str) -> String {
    let data: Value = wfr_model::json::stored(item.body.as_bytes()).unwrap_or_default();
    let mut event = json!({
        "specversion": "1.0",
        "id": item.id,
        "source": source,
        "type": format!("wfr.{}", item.name),
        "time": item.at,
        "datacontenttype": "application/json",
    });
    if let Some(workflow) = &item.workflow {
        event["subject"] = workflow.as_str().into();
    }
    event["data"] = data;
    event.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wfr_model::Timestamp;

    #[test]
    fn the_required_attributes_are_there() {
        let item = Item {
            id: "evt_1".into(),
            name: "TASK_FAILED".into(),
            workflow: Some("wf".into()),
            at: Timestamp(0),
            body: r#"{"event_id":"evt_1"}"#.into(),
        };
        let event: Value = serde_json::from_str(&of(&item, "urn:wfr:0")).unwrap();
        assert_eq!(
            event,
            json!({
                "specversion": "1.0", "id": "evt_1", "source": "urn:wfr:0", "type": "wfr.TASK_FAILED",
                "time": "1970-01-01T00:00:00Z", "datacontenttype": "application/json", "subject": "wf",
                "data": {"event_id": "evt_1"}
            })
        );
    }
}
