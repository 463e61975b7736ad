//! The answers to the protocol's requests.
//!
//! Owns which request leads where, and which workspace a call is about. Refuses to run anything itself: see [`crate::calls`].

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, ErrorCode, ErrorData, GetPromptRequestParams,
    GetPromptResponse, Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, ResourceContents, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{RoleServer, ServerHandler};
use tokio_util::sync::CancellationToken;
use wfr_engine::agents::{self, Offer};
use wfr_engine::error::{Code, Failure, Kind};
use wfr_engine::operation::LATER;
use wfr_engine::session::Session;
use wfr_engine::workspace;

use crate::messages::Flow;
use crate::{Asking, Given, Surroundings, calls, prompts, resources, roots, tools};

/// How long a client may take to say where it works.
const ROOTS_WAIT_MAX: Duration = Duration::from_secs(5);

/// The versions of the protocol that are served: two with a handshake, one without.
const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];

/// Methods that are known: one of them with parameters that cannot be read is malformed, not unknown.
const METHODS: [&str; 7] = [
    "tools/call",
    "tools/list",
    "resources/read",
    "resources/list",
    "resources/templates/list",
    "prompts/get",
    "prompts/list",
];

/// The server.
pub struct Server {
    surroundings: Arc<Surroundings>,
    offers: Arc<Vec<Offer>>,
    tools: Vec<Tool>,
    flow: Arc<Flow>,
    calls: CancellationToken,
    /// Where the client works, once it has said so.
    roots: Mutex<Option<Vec<PathBuf>>>,
}

type Context = RequestContext<RoleServer>;

impl Server {
    /// A server for one client.
    pub fn new(surroundings: Surroundings, flow: Arc<Flow>, calls: CancellationToken) -> Self {
        let offers = agents::offers();
        let tools = offers.iter().map(tools::of).collect();
        let surroundings = Arc::new(surroundings);
        Self { surroundings, offers: Arc::new(offers), tools, flow, calls, roots: Mutex::new(None) }
    }

    /// What a call is given, about the workspace that is meant.
    async fn given(&self, context: &Context) -> Result<Given, Failure> {
        let client = context.client_info().map_or_else(|| "unknown".to_owned(), |info| info.name);
        let asking = |workspace| Asking { client: client.clone(), workspace, abort: Arc::new(AtomicBool::new(false)) };
        let given = (self.surroundings.session)(asking(None))?;
        let directories = &given.session.directories;
        if directories.workspace.is_some() || workspace::locate(directories).is_ok() {
            return Ok(given);
        }
        for root in self.roots(context).await {
            let other = (self.surroundings.session)(asking(Some(root)))?;
            if workspace::locate(&other.session.directories).is_ok() {
                return Ok(other);
            }
        }
        Ok(given)
    }

    /// Where the client works, as far as it says so.
    #[expect(deprecated, reason = "clients of the older protocols have no other way to say it")]
    async fn roots(&self, context: &Context) -> Vec<PathBuf> {
        let kept = || self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().clone() {
            return known;
        }
        let says = context.client_capabilities().is_some_and(|capabilities| capabilities.roots.is_some());
        if !says || context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28) {
            return vec![];
        }
        let Ok(Ok(said)) = tokio::time::timeout(ROOTS_WAIT_MAX, context.peer.list_roots()).await else { return vec![] };
        let found: Vec<PathBuf> = said.roots.iter().filter_map(|root| roots::path_of(&root.uri)).collect();
        *kept() = Some(found.clone());
        found
    }

    /// Runs something that needs a session, and no more.
    async fn with_session<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl FnOnce(&mut Session) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Given { mut session, .. } = self.given(context).await?;
        let (abort, meter) = (session.abort.clone(), session.meter.clone());
        calls::run(context, &self.calls, abort, meter, move || work(&mut session)).await?
    }
}

/// A failure where the protocol has no place for more than a line.
fn protocol_error(failure: &Failure) -> ErrorData {
    let hint = failure.ways_on("").next().unwrap_or_default();
    let code = match failure.kind() {
        Kind::Usage => ErrorCode::INVALID_PARAMS,
        Kind::NotFound => ErrorCode::RESOURCE_NOT_FOUND,
        _ => ErrorCode::INTERNAL_ERROR,
    };
    ErrorData::new(code, format!("{failure}; {hint}"), None)
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().enable_prompts().build();
        let later: Vec<&str> = LATER.iter().map(|(name, _)| *name).collect();
        let mut info = ServerConfig::new(capabilities);
        info.server_info = Implementation::new("wfr", self.surroundings.version);
        info.protocol_version = ProtocolVersion::V_2025_11_25;
        info.instructions = Some(format!(
            "wfr keeps the workspace's files safe: checkpoints, who changed what, plans to take work back. Destructive tools give a plan with a \
             digest first; by default a person applies it, with the command that the answer names. Not there yet: {}.",
            later.join(", ")
        ));
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&VERSIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let _busy = self.flow.work_on(&context.id);
        Ok(ListToolsResult::with_all_items(self.tools.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        let _busy = self.flow.work_on(&context.id);
        let name = request.name.as_ref();
        let found = self.offers.iter().position(|offer| offer.operation.name == name);
        let later = LATER.iter().find(|(later, _)| *later == name);
        if found.is_none() && later.is_none() {
            return Err(ErrorData::invalid_params(format!("there is no tool `{name}`"), None));
        }
        let given = self.given(&context).await.map_err(|failure| protocol_error(&failure))?;
        if let Some((name, group)) = later {
            let message = format!("`{name}` is not in this version: it comes with {group}");
            return Ok(calls::refused(name, &Failure::new(Code::NotInThisVersion, message), &given.session).into());
        }
        let at = found.unwrap_or_default();
        let (abort, meter) = (given.session.abort.clone(), given.session.meter.clone());
        let (offers, surroundings) = (self.offers.clone(), self.surroundings.clone());
        let parameters = request.arguments.unwrap_or_default();
        let work = move || calls::call(&offers[at], given, parameters, surroundings.after);
        let ended = calls::run(&context, &self.calls, abort, meter, work).await;
        Ok(ended.map_err(|failure| protocol_error(&failure))?.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let _busy = self.flow.work_on(&context.id);
        match self.with_session(&context, resources::list).await {
            // A directory that is not protected has none.
            Err(failure) if failure.code == Code::WorkspaceNotFound => Ok(ListResourcesResult::default()),
            listed => Ok(ListResourcesResult::with_all_items(listed.map_err(|failure| protocol_error(&failure))?)),
        }
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let _busy = self.flow.work_on(&context.id);
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let _busy = self.flow.work_on(&context.id);
        let uri = request.uri.clone();
        let found = self.with_session(&context, move |session| resources::get(session, &uri)).await;
        let Some(text) = found.map_err(|failure| protocol_error(&failure))? else {
            return Err(ErrorData::resource_not_found(format!("there is no resource `{}`", request.uri), None));
        };
        let contents = ResourceContents::text(text, request.uri).with_mime_type("application/json");
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let _busy = self.flow.work_on(&context.id);
        Ok(ListPromptsResult::with_all_items(prompts::all()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let _busy = self.flow.work_on(&context.id);
        Ok(prompts::get(&request.name, request.arguments.as_ref())?.into())
    }

    async fn on_custom_request(&self, request: CustomRequest, context: Context) -> Result<CustomResult, ErrorData> {
        let _busy = self.flow.work_on(&context.id);
        let method = request.method;
        Err(if METHODS.contains(&method.as_str()) {
            ErrorData::invalid_params(format!("the parameters of `{method}` are malformed"), None)
        } else {
            ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("there is no method `{method}`"), None)
        })
    }

    async fn on_roots_list_changed(&self, _: NotificationContext<RoleServer>) {
        *self.roots.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
