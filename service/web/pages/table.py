"""The pages that there are: one router a group."""

from service.web.pages import routes

ROUTERS = (routes.router,)
